"""Inputs are what they say: a number is no date, `"yes"` is no truth value, in every field of every body."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from pydantic import TypeAdapter, ValidationError

from hermod.contracts.analytics.events import TrackedEvent
from hermod.contracts.analytics.queries import TimeseriesAsked
from hermod.contracts.forms.forms import FormInput, PartialInput, SubmissionInput
from hermod.contracts.forms.payments import StripeAccountInput
from hermod.contracts.notifications.devices import DeviceInput
from hermod.contracts.notifications.messages import AnyMessage, Options, Resolution
from hermod.contracts.notifications.suppressions import SuppressionInput
from hermod.contracts.notifications.templates import DraftInput, PreviewInput, TemplateInput
from hermod.contracts.tenants.accounts import AccountInput
from hermod.contracts.tenants.limits import Limits
from hermod.contracts.values.scalars import Instant
from hermod.contracts.webhooks.deliveries import EndpointSettings, EventInput, ReplayInput, Rotation

BODIES: Final[tuple[Any, ...]] = (
    AnyMessage,
    AccountInput,
    DeviceInput,
    DraftInput,
    EndpointSettings,
    EventInput,
    FormInput,
    Limits,
    PartialInput,
    PreviewInput,
    ReplayInput,
    Resolution,
    Rotation,
    StripeAccountInput,
    SubmissionInput,
    SuppressionInput,
    TemplateInput,
    TrackedEvent,
)
LAX: Final[dict[str, tuple[object, ...]]] = {
    "boolean": ("yes", "true", "on", "1", 1, 0, 1.0),
    "integer": ("5", True, 5.5),
    "number": ("5", "1e3", True),
    "date-time": (1_700_000_000, 1.5, "1700000000", "1700000000.5", True, "2030-05-01", "20300501T120000Z"),
}
"""What must not be taken for a value of the kind."""


def fields(
    schema: dict[str, Any], defs: dict[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every field of a simple kind, by its path."""
    if (name := schema.get("$ref", "").rpartition("/")[2]) and name not in path:
        yield from fields(defs[name], defs, path)
    for kind in (schema.get("format"), schema.get("type")):
        if kind in LAX:
            yield path, str(kind)
    for branch in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        if branch.get("type") != "null":
            yield from fields(branch, defs, path)
    for field, inner in schema.get("properties", {}).items():
        if len(path) < 4:
            yield from fields(inner, defs, (*path, field))


def schema_of(body: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    schema = TypeAdapter(body).json_schema()
    defs = schema.get("$defs", {})
    return [defs[one["$ref"].rpartition("/")[2]] for one in schema.get("oneOf", ())] or [schema], defs


CASES: Final = sorted(
    {
        (place, kind, ".".join(path))
        for place, body in enumerate(BODIES)
        for model in schema_of(body)[0]
        for path, kind in fields(model, schema_of(body)[1], ())
    }
)


def given(path: str, value: object, base: dict[str, Any]) -> dict[str, Any]:
    names = path.split(".")
    for name in reversed(names[1:]):
        value = {name: value}
    return base | {names[0]: value}


@pytest.mark.parametrize(("place", "kind", "path"), CASES)
def test_field_is_given_a_value_of_another_kind_it_is_refused(place: int, kind: str, path: str) -> None:
    body = BODIES[place]
    models = schema_of(body)[0]
    for model in models:
        if path.split(".", maxsplit=1)[0] not in model["properties"]:
            continue
        base = {"channel": model["properties"]["channel"]["const"]} if len(models) > 1 else {}
        for lax in LAX[kind]:
            with pytest.raises(ValidationError) as raised:
                TypeAdapter(body).validate_python(given(path, lax, base))
            told = [".".join(str(part) for part in error["loc"]) for error in raised.value.errors()]
            assert any(path in one for one in told), (lax, told)


def test_bodies_have_fields_of_every_kind() -> None:
    assert {kind for _, kind, _ in CASES} == LAX.keys()


def test_times_are_taken_as_before() -> None:
    instants: TypeAdapter[datetime] = TypeAdapter(Instant)
    at = datetime(2030, 5, 1, 12, tzinfo=UTC)
    for written in ("2030-05-01T12:00:00Z", "2030-05-01t12:00:00z", "2030-05-01 14:00:00+02:00", "2030-05-01T12:00Z"):
        assert instants.validate_python(written) == at
    assert instants.validate_python(at) == at
    assert instants.validate_json(instants.dump_json(at)) == at


def test_whole_number_is_written_with_a_point_it_is_taken() -> None:
    """JSON makes no difference between 5 and 5.0, nor does JSON Schema."""
    priority = Options.model_validate({"priority": 5.0}).priority
    assert (priority, type(priority)) == (5, int)
    for wrong in (5.5, 11.0, float("inf"), float("nan")):
        with pytest.raises(ValidationError):
            Options.model_validate({"priority": wrong})


def test_query_takes_times_as_text_only() -> None:
    for lax in ("1700000000", "1.7e9"):
        with pytest.raises(ValidationError):
            TimeseriesAsked.model_validate({"type": "a", "interval": "day", "since": lax})
