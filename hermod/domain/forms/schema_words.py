"""What a visitor is told: by the kind of the fault, and never with what was entered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, NamedTuple

import orjson
from jsonschema_rs import ValidationError, Validator

from hermod.domain.forms.schema_parts import LONGEST_FIELD

MOST_FAULTS: Final = 50

_KINDS: Final = {
    "string": "a string",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_WORDS: Final[Mapping[str, str]] = {
    "const": "must be {}",
    "exclusiveMaximum": "must be less than {}",
    "exclusiveMinimum": "must be greater than {}",
    "format": "is not of the format {}",
    "maxItems": "must have at most {} items",
    "maxLength": "must have at most {} characters",
    "maxProperties": "must have at most {} fields",
    "maximum": "must be at most {}",
    "minItems": "must have at least {} items",
    "minLength": "must have at least {} characters",
    "minProperties": "must have at least {} fields",
    "minimum": "must be at least {}",
    "multipleOf": "must be a multiple of {}",
    "pattern": "does not match the pattern {}",
    "uniqueItems": "must not have the same item twice",
}
"""By keyword; {} is its value in the schema."""
_MUST_BE: Final = "must be "
_CHOOSING: Final = frozenset({"const", "enum"})
_HAVING: Final = frozenset({"additionalProperties", "required", "unevaluatedProperties"})


class Fault(NamedTuple):
    """What is wrong at a path below a value, and the keyword of the schema that says so."""

    path: tuple[str | int, ...]
    keyword: str
    message: str

    def below(self, step: str | int) -> Fault:
        return Fault((step, *self.path), self.keyword, self.message)


def faults_of(schema: Mapping[str, Any], own: Validator, value: Any) -> list[Fault]:
    """What a part's own assertions, compiled as `own`, have against a value; at most MOST_FAULTS."""
    return [_fault(schema, error) for error in islice(own.iter_errors(value), MOST_FAULTS)]


def nearest(branches: Sequence[tuple[Fault, ...]]) -> Sequence[Fault]:
    """Of alternatives that all do not fit, the faults of the one that was most likely meant.

    That is, in this order: one whose type it is; that has not another choice in a field of its own, as in `"kind":
    {"const": "card"}`; whose fields are there and no others; with the fewest faults. Where several are as near, and it
    is the value itself that fits none, all are named.
    """
    least = min(map(_distance, branches), default=None)
    near = [faults for faults in branches if _distance(faults) == least]
    told = {fault.message for faults in near for fault in faults}
    if len(told) > 1 and all(not fault.path and fault.message.startswith(_MUST_BE) for one in near for fault in one):
        wanted = " or ".join(sorted(message.removeprefix(_MUST_BE) for message in told))
        return [Fault((), near[0][0].keyword, (_MUST_BE + wanted)[:LONGEST_FIELD])]
    return near[0] if near else [Fault((), "anyOf", "does not fit the form")]


def shown(value: Any) -> str:
    return (
        value[:LONGEST_FIELD] if isinstance(value, str) else orjson.dumps(value, default=str).decode()[:LONGEST_FIELD]
    )


def _distance(faults: Sequence[Fault]) -> tuple[bool, bool, int, int]:
    return (
        any(fault.keyword == "type" and not fault.path for fault in faults),
        any(fault.keyword in _CHOOSING and len(fault.path) <= 1 for fault in faults),
        sum(fault.keyword in _HAVING and len(fault.path) == 1 for fault in faults),
        len(faults),
    )


def _fault(schema: Mapping[str, Any], error: ValidationError) -> Fault:
    # Not from the error, which would be read whole, however long an `enum` of the schema is.
    return Fault(tuple(error.instance_path), error.kind.name, message(schema, error.kind.name))


def message(schema: Mapping[str, Any], keyword: str, otherwise: str = "does not fit the form") -> str:
    """What a keyword of a part asks for."""
    value = schema.get(keyword)
    if keyword == "type" and isinstance(value, str | list):
        return _MUST_BE + " or ".join(_KINDS.get(name, name) for name in ([value] if isinstance(value, str) else value))
    if keyword == "enum" and isinstance(value, list):
        return f"must be one of {', '.join(_first(value))}"[: LONGEST_FIELD + 15]
    words = _WORDS.get(keyword)
    return otherwise if words is None or keyword not in schema else words.format(shown(value))


def _first(options: Sequence[Any]) -> Iterator[str]:
    return (shown(option) for option in options[:LONGEST_FIELD])


def weight(value: Any, *, deep: bool) -> int:
    """About how much is to be read, in sixteenths of a step."""
    if isinstance(value, str):
        return 16 + (len(value) >> 2)
    if not isinstance(value, dict | list):
        return 16
    if not deep:
        return 16 + len(value)
    total = 16
    level: list[Any] = [value]
    while level:
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict | list):
                total += 16 + len(one)
                below.extend(chain(one, one.values()) if isinstance(one, dict) else one)
            elif isinstance(one, str):
                total += 1 + (len(one) >> 2)
        level = below
    return total
