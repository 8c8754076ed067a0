"""`retry` of a message, an account, an endpoint: a preset's name, or the waits, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from hermod.contracts.notifications.messages import Options
from hermod.contracts.notifications.retries import Preset
from hermod.contracts.webhooks.deliveries import EndpointSettings
from starter.validation_errors import field_errors

TAKEN: list[tuple[Any, Any]] = [
    ("sms", Preset.SMS),
    (["2s", "10s", "1m"], (2.0, 10.0, 60.0)),
    ([2, 10.5, 60], (2.0, 10.5, 60.0)),
    (["1h30m", "24h", "1d", "0s"], (5400.0, 86400.0, 86400.0, 0.0)),
    (["500ms", "2.5s", " 10S "], (0.5, 2.5, 10.0)),
    ([timedelta(seconds=2), "PT10S"], (2.0, 10.0)),
    ([1] * 20, (1.0,) * 20),
]
REFUSED: list[tuple[str, Any, str]] = [
    ("no name of a preset", "often", "retry"),
    ("a wait beside a list", "2s", "retry"),
    ("a number beside a list", 5, "retry"),
    ("an object", {"0": 2}, "retry"),
    ("no wait at all", [], "retry"),
    ("too many waits", [1] * 21, "retry"),
    ("negative", [2, -1], "retry.1"),
    ("longer than a day", ["25h"], "retry.0"),
    ("longer than any number", ["999999999d"], "retry.0"),
    ("true, which is no second", [True], "retry.0"),
    ("a number as text", ["30"], "retry.0"),
    ("no duration", ["soon"], "retry.0"),
    ("a month", ["P1M"], "retry.0"),
    ("not a number", [float("nan")], "retry.0"),
    ("null", [None], "retry.0"),
    ("a list in the list", [[2]], "retry.0"),
    ("empty text", [""], "retry.0"),
]


@pytest.mark.parametrize(("given", "kept"), TAKEN)
def test_retry_is_a_preset_or_waits_is_kept_in_seconds(given: Any, kept: Any) -> None:
    assert Options(retry=given).retry == kept


@pytest.mark.parametrize(("given", "kept"), TAKEN[1:])
def test_endpoint_takes_waits_as_a_message_does(given: Any, kept: Any) -> None:
    assert EndpointSettings(url="https://shop.example.com", retry=given).retry == kept


@pytest.mark.parametrize(("given", "field"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_retry_is_neither_is_refused_where_it_is_wrong_in_plain_words(given: Any, field: str) -> None:
    for model, others in ((Options, {}), (EndpointSettings, {"url": "https://shop.example.com"})):
        asked = {**others, "retry": given}
        with pytest.raises(ValidationError) as wrong:
            model.model_validate(asked)
        (error,) = field_errors(wrong.value, asked)
        assert error.field == field
        assert error.message.startswith("must ")


def test_waits_mean_the_same_are_one_and_the_same_request() -> None:
    """An idempotency key is compared by what was asked, and not by how it was written."""
    written = [["2s", "1m"], [2, 60], (2.0, "PT1M")]
    checked = [Options.model_validate({"retry": waits}) for waits in written]
    assert len({options.model_dump_json() for options in checked}) == 1
