"""Conditions on the payload of an event, by which an endpoint asks for some of the events of its types."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from hermod.contracts.values.model import Model, misplaced
from hermod.contracts.values.scalars import checked_text

MOST_CONDITIONS: Final = 20
MOST_VALUES: Final = 50
"""In the list of `in`."""
LONGEST_VALUE: Final = 256
PAYLOAD_PATH: Final = r"^data(\.[^.\x00-\x1f\x7f-\x9f\u2028\u2029]+){1,10}$"

PayloadPath = Annotated[str, StringConstraints(pattern=PAYLOAD_PATH, max_length=256)]
"""`data.order.status`, as in the request's body: names in up to ten levels, and places in lists (`data.items.0.sku`).
A name with a dot in it cannot be reached."""


class Operator(StrEnum):
    EQ = "eq"
    NE = "ne"
    """Another value, or none at all."""
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    """One of a list."""
    EXISTS = "exists"
    """Whether there is something at the path; null is something."""


_COMPARING: Final = frozenset({Operator.GT, Operator.GTE, Operator.LT, Operator.LTE})
_SCALAR: Final = f"must be a text of up to {LONGEST_VALUE} characters, a number, true, false or null"


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**64


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_VALUE and bool(checked_text(value) or True)
    return value is None or isinstance(value, bool) or _is_number(value)


def _known(value: Any) -> Any:
    """A scalar, or a list of them as a tuple. Raises ValueError."""
    if isinstance(value, list | tuple):
        if not (1 <= len(value) <= MOST_VALUES and all(map(_is_scalar, value))):
            raise ValueError(f"must be a list of 1 to {MOST_VALUES} values; each {_SCALAR}")
        return tuple(value)
    if not _is_scalar(value):
        raise ValueError(_SCALAR)
    return value


_SCALAR_SCHEMA: Final[list[dict[str, Any]]] = [
    {"type": "string", "maxLength": LONGEST_VALUE},
    {"type": "number"},
    {"type": "boolean"},
    {"type": "null"},
]
_LIST_SCHEMA: Final = {"type": "array", "minItems": 1, "maxItems": MOST_VALUES, "items": {"anyOf": _SCALAR_SCHEMA}}


def _of_operator(*operators: Operator, takes: dict[str, Any]) -> dict[str, Any]:
    fits: dict[str, Any] = {"properties": {"op": {"enum": [one.value for one in operators]}, "value": takes}}
    return fits if Operator.EQ in operators else {"required": ["op"], **fits}


_FITTING: Final[list[Any]] = [
    _of_operator(Operator.EQ, Operator.NE, takes={"anyOf": _SCALAR_SCHEMA}),
    _of_operator(*sorted(_COMPARING), takes={"type": "number"}),
    _of_operator(Operator.IN, takes=_LIST_SCHEMA),
    _of_operator(Operator.EXISTS, takes={"type": "boolean"}),
]
"""What the reference says of `PayloadCondition`'s rule."""


class PayloadCondition(Model):
    """`{"path": "data.status", "op": "eq", "value": "paid"}`. A value is like another only where it is of the same
    type: the number 1 is neither the text "1" nor true. What a payload has no value for is `ne`, `exists: false`, and
    nothing else.
    """

    model_config = ConfigDict(json_schema_extra={"oneOf": _FITTING})

    path: PayloadPath
    op: Operator = Operator.EQ
    value: Annotated[Any, AfterValidator(_known), WithJsonSchema({"anyOf": [*_SCALAR_SCHEMA, _LIST_SCHEMA]})]
    """A text, a number, true, false or null; a number for `gt gte lt lte`, a list for `in`, true or false for
    `exists`."""

    @model_validator(mode="after")
    def _value_fits(self) -> Self:
        if self.op in _COMPARING and not _is_number(self.value):
            raise misplaced("value", f"must be a number, for {self.op}")
        if self.op is Operator.EXISTS and not isinstance(self.value, bool):
            raise misplaced("value", "must be true or false, for exists")
        if (self.op is Operator.IN) != isinstance(self.value, tuple):
            raise misplaced("value", "must be a list for in" if self.op is Operator.IN else _SCALAR)
        return self


def _list(given: object) -> object:
    """Null is no filter."""
    return () if given is None else given


_Conditions = Annotated[tuple[PayloadCondition, ...], Field(max_length=MOST_CONDITIONS)]
PayloadFilter = Annotated[_Conditions, BeforeValidator(_list, json_schema_input_type=_Conditions | None)]
"""Conditions that must all hold; none: every payload."""
