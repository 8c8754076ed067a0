"""What people and form libraries write into a form's definition and its hidden field, and what it comes to."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from hermod.contracts.errors import FieldError
from hermod.contracts.forms.forms import FormInput, SpamGuard
from hermod.domain.forms.schemas import FormSchema, compiled
from hermod.domain.steps import Steps
from starter.forms.submission_intake import SMALL, faults_in, without_honeypot
from starter.validation_errors import field_errors


def form(**settings: Any) -> FormInput:
    return FormInput.model_validate({"name": "A", "schema": {}, **settings})


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ("24h", timedelta(hours=24)),
        ("1h30m", timedelta(minutes=90)),
        ("90S", timedelta(seconds=90)),
        ("2d", timedelta(days=2)),
        ("PT24H", timedelta(hours=24)),
        (3600, timedelta(hours=1)),
    ],
)
def test_duration_is_as_long_as_it_says(given: Any, length: timedelta) -> None:
    definition = form(payment={"expires_in": given}, partials={"abandon_after": given})
    assert definition.payment is not None
    assert definition.payment.expires_in == definition.partials.abandon_after == length


@pytest.mark.parametrize("given", [True, False, "24", "h", "", "24 hours or so", [], {}, "9999999999999h"])
@pytest.mark.parametrize("place", [("payment", "expires_in"), ("partials", "abandon_after")])
def test_what_is_no_duration_is_refused_with_what_to_write(given: Any, place: tuple[str, str]) -> None:
    settings = {place[0]: {place[1]: given}}
    with pytest.raises(ValidationError) as wrong:
        form(**settings)
    (error,) = field_errors(wrong.value, {"name": "A", "schema": {}, **settings})
    assert error == (".".join(place), "must be a number of seconds, or a duration like PT24H or 24h")


@pytest.mark.parametrize("left", ["", " ", "\t\n", "\u00a0", None, False, 0, [], {}, [""], [[], {"a": " "}]])
def test_honeypot_that_nobody_has_filled_in_makes_no_spam(left: Any) -> None:
    data = {"name": "Ada", "website": left}
    assert without_honeypot(data, SpamGuard(honeypot="website")) == ({"name": "Ada"}, False)


@pytest.mark.parametrize("filled", ["x", " x ", "0", 1, True, ["", "x"], {"a": {"b": "x"}}])
def test_honeypot_that_was_filled_in_makes_spam(filled: Any) -> None:
    data = {"name": "Ada", "website": filled}
    assert without_honeypot(data, SpamGuard(honeypot="website")) == ({"name": "Ada"}, True)


class Watched:
    """A schema that remembers in which threads it was asked."""

    def __init__(self, schema: FormSchema) -> None:
        self.schema = schema
        self.threads: list[str] = []

    def faults(self, data: Mapping[str, Any], steps: Steps | None = None) -> list[FieldError]:
        self.threads.append(threading.current_thread().name.partition("_")[0])
        return self.schema.faults(data, steps)


@pytest.mark.parametrize(
    ("data", "threads"),
    [
        ({"l": [1] * 3}, ["MainThread"]),
        ({"l": [{"l": [n]} for n in range(1000)]}, ["MainThread", "heavy-work"]),
        ({"l": ["x" * SMALL]}, ["heavy-work"]),
    ],
)
async def test_submission_that_takes_long_to_check_is_checked_off_the_event_loop(
    data: dict[str, Any], threads: list[str]
) -> None:
    watched = Watched(compiled({"properties": {"l": {"items": {"$ref": "#"}}}}))
    assert await faults_in(watched, data, len(orjson.dumps(data))) == []  # type: ignore[arg-type]
    assert watched.threads == threads
