"""Whether the payload of an event is what an endpoint asked for. Its work is bounded by the filter alone: a path has
ten steps at most, and a list of values is a set.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from hermod.contracts.webhooks.payload_filters import Operator, PayloadCondition

Holds = Callable[[Mapping[str, Any]], bool]
"""Takes a payload."""

_NOTHING: Final = object()
_LONGEST_PLACE: Final = 9
"""Digits of a place in a list."""
_COMPARE: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    Operator.GT: operator.gt,
    Operator.GTE: operator.ge,
    Operator.LT: operator.lt,
    Operator.LTE: operator.le,
}


def compiled(conditions: Iterable[PayloadCondition]) -> Holds:
    """All of them must hold."""
    checks = [_check(one) for one in conditions]
    return lambda payload: all(check(payload) for check in checks)


def _check(condition: PayloadCondition) -> Holds:
    steps, holds = tuple(condition.path.split(".")[1:]), _test(condition)
    return lambda payload: holds(_found(payload, steps))


def _test(condition: PayloadCondition) -> Callable[[object], bool]:
    """Takes what is at the path, `_NOTHING` where there is nothing."""
    value = condition.value
    match condition.op:
        case Operator.EQ:
            return lambda found: _typed(found) == _typed(value)
        case Operator.NE:
            return lambda found: _typed(found) != _typed(value)
        case Operator.IN:
            values = frozenset(map(_typed, value))
            return lambda found: _typed(found) in values
        case Operator.EXISTS:
            return lambda found: (found is not _NOTHING) is value
        case comparing:
            compare = _COMPARE[comparing]
            return lambda found: _typed(found)[0] == "number" and compare(found, value)


def _found(payload: object, steps: Iterable[str]) -> object:
    here = payload
    for step in steps:
        if isinstance(here, Mapping):
            here = here.get(step, _NOTHING)
        elif isinstance(here, list | tuple) and step.isascii() and step.isdigit() and len(step) <= _LONGEST_PLACE:
            here = here[int(step)] if int(step) < len(here) else _NOTHING
        else:
            return _NOTHING
    return here


def _typed(value: object) -> tuple[str, Any]:
    """With its type in JSON: in Python, true is the number 1. An object or a list is like no value of a condition."""
    if isinstance(value, str):
        return "string", value
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | float):
        return "number", value
    return ("null", None) if value is None else ("other", None)
