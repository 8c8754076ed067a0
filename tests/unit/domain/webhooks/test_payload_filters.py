"""Which payloads an endpoint's conditions let through, and which conditions can be stored."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from hermod.contracts.webhooks.deliveries import EndpointSettings
from hermod.contracts.webhooks.payload_filters import PayloadCondition, PayloadFilter
from hermod.domain.webhooks.payload_filters import compiled
from starter.validation_errors import field_errors

PAYLOAD: dict[str, Any] = {
    "status": "paid",
    "total": 49.5,
    "count": 1,
    "new": True,
    "zero": 0,
    "note": None,
    "empty": "",
    "customer": {"country": "AT", "tags": ["vip", "b2b"], "": 1},
    "items": [{"sku": "a"}, {"sku": "b"}],
    "größe": "xl",
    "first-name": "Ada",
    "a b": 1,
    "big": 2**63,
}
Asked = tuple[str, str, Any]

HOLD: list[Asked] = [
    ("status", "eq", "paid"),
    ("status", "ne", "open"),
    ("status", "ne", 1),
    ("status", "in", ["open", "paid"]),
    ("status", "exists", True),
    ("missing", "exists", False),
    ("missing", "ne", "paid"),
    ("missing", "ne", None),
    ("customer.missing.deeper", "ne", 1),
    ("status.deeper", "exists", False),
    ("note", "eq", None),
    ("note", "exists", True),
    ("note", "ne", "x"),
    ("note", "in", [None]),
    ("empty", "eq", ""),
    ("total", "eq", 49.5),
    ("total", "gt", 49),
    ("total", "gte", 49.5),
    ("total", "lt", 50),
    ("total", "lte", 49.5),
    ("count", "eq", 1.0),
    ("count", "in", [3, 1]),
    ("count", "ne", True),
    ("zero", "ne", False),
    ("zero", "lte", 0),
    ("new", "eq", True),
    ("new", "ne", 1),
    ("customer.country", "eq", "AT"),
    ("customer.tags.1", "eq", "b2b"),
    ("customer.tags.2", "exists", False),
    ("customer", "exists", True),
    ("customer", "ne", "AT"),
    ("items.0.sku", "eq", "a"),
    ("größe", "eq", "xl"),
    ("first-name", "eq", "Ada"),
    ("a b", "eq", 1),
    ("big", "gt", 2**62),
]
HOLD_NOT: list[Asked] = [
    ("status", "eq", "Paid"),
    ("status", "eq", None),
    ("status", "ne", "paid"),
    ("status", "in", ["open"]),
    ("status", "gt", 1),
    ("status", "exists", False),
    ("missing", "eq", None),
    ("missing", "eq", "paid"),
    ("missing", "in", ["paid", None]),
    ("missing", "gt", 0),
    ("missing", "lt", 0),
    ("missing", "exists", True),
    ("note", "lt", 1),
    ("count", "eq", True),
    ("count", "eq", "1"),
    ("count", "in", [True, "1"]),
    ("new", "eq", 1),
    ("new", "gte", 1),
    ("zero", "eq", False),
    ("zero", "eq", None),
    ("total", "gt", 49.5),
    ("total", "lt", 49.5),
    ("customer", "eq", "AT"),
    ("customer.tags", "eq", "vip"),
    ("customer.tags", "in", ["vip", "b2b"]),
    ("customer.tags.-1", "exists", True),
    ("customer.tags.١", "exists", True),
    ("customer.tags." + "9" * 200, "exists", True),
    ("items.sku", "exists", True),
]


def holds(*asked: Asked) -> bool:
    conditions = [
        PayloadCondition.model_validate({"path": f"data.{path}", "op": op, "value": value}) for path, op, value in asked
    ]
    return compiled(conditions)(PAYLOAD)


@pytest.mark.parametrize("asked", HOLD, ids=str)
def test_condition_holds(asked: Asked) -> None:
    assert holds(asked)


@pytest.mark.parametrize("asked", HOLD_NOT, ids=lambda asked: str(asked)[:60])
def test_condition_does_not_hold(asked: Asked) -> None:
    assert not holds(asked)


def test_conditions_must_all_hold_and_none_are_always_true() -> None:
    assert holds()
    assert holds(HOLD[0], HOLD[1])
    assert not holds(HOLD[0], HOLD_NOT[0])


GOOD = {"path": "data.status", "op": "eq", "value": "paid"}
WRONG: list[tuple[Any, str]] = [
    ({"path": "data.status"}, "filter.0.value"),
    ({"value": 1}, "filter.0.path"),
    (GOOD | {"path": "status"}, "filter.0.path"),
    (GOOD | {"path": "data"}, "filter.0.path"),
    (GOOD | {"path": "data."}, "filter.0.path"),
    (GOOD | {"path": "data..x"}, "filter.0.path"),
    (GOOD | {"path": "data.x\0"}, "filter.0.path"),
    (GOOD | {"path": "data.x\n"}, "filter.0.path"),
    (GOOD | {"path": "data.\ud800"}, "filter.0.path"),
    (GOOD | {"path": "data" + ".x" * 11}, "filter.0.path"),
    (GOOD | {"path": "data." + "x" * 300}, "filter.0.path"),
    (GOOD | {"path": 1}, "filter.0.path"),
    (GOOD | {"op": "like"}, "filter.0.op"),
    (GOOD | {"op": "EQ"}, "filter.0.op"),
    (GOOD | {"op": None}, "filter.0.op"),
    (GOOD | {"value": {"a": 1}}, "filter.0.value"),
    (GOOD | {"value": ["paid"]}, "filter.0.value"),
    (GOOD | {"value": "x" * 257}, "filter.0.value"),
    (GOOD | {"value": "\0"}, "filter.0.value"),
    (GOOD | {"value": "\ud800"}, "filter.0.value"),
    (GOOD | {"value": float("nan")}, "filter.0.value"),
    (GOOD | {"value": float("inf")}, "filter.0.value"),
    (GOOD | {"value": 2**64}, "filter.0.value"),
    (GOOD | {"op": "gt"}, "filter.0.value"),
    (GOOD | {"op": "gt", "value": "5"}, "filter.0.value"),
    (GOOD | {"op": "lte", "value": True}, "filter.0.value"),
    (GOOD | {"op": "gte", "value": None}, "filter.0.value"),
    (GOOD | {"op": "in"}, "filter.0.value"),
    (GOOD | {"op": "in", "value": []}, "filter.0.value"),
    (GOOD | {"op": "in", "value": [["paid"]]}, "filter.0.value"),
    (GOOD | {"op": "in", "value": ["x"] * 51}, "filter.0.value"),
    (GOOD | {"op": "exists"}, "filter.0.value"),
    (GOOD | {"op": "exists", "value": 1}, "filter.0.value"),
    (GOOD | {"op": "ne", "value": [1]}, "filter.0.value"),
    (GOOD | {"surprise": 1}, "filter.0.surprise"),
    ("data.status=paid", "filter.0"),
]


@pytest.mark.parametrize(("condition", "field"), WRONG, ids=lambda value: ascii(value)[:70])
def test_condition_is_wrong_its_field_is_named(condition: Any, field: str) -> None:
    given = {"url": "https://example.com/", "filter": [condition]}
    with pytest.raises(ValidationError) as error:
        EndpointSettings.model_validate(given)
    found = field_errors(error.value, given)
    assert [one.field for one in found] == [field]
    assert found[0].message


@pytest.mark.parametrize("given", [[GOOD] * 21, "data.status=paid", GOOD, 7], ids=["21", "text", "object", "number"])
def test_filter_is_no_list_of_up_to_twenty_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(PayloadFilter).validate_python(given)


def test_filter_is_null_is_none() -> None:
    assert TypeAdapter(PayloadFilter).validate_python(None) == ()
