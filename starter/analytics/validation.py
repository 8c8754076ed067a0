"""Events as they come, in JSON or from the application, and what of them can be taken: each stands for itself.

A body is read at once. Where that fails, it is cut into its events first, and each is read by itself, so that one that
is no JSON (NaN, bytes that are no UTF-8, brackets ten thousand deep) does not take the others with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from hermod.contracts.analytics.events import MAX_EVENTS, MOST_AHEAD, OLDEST, RejectedEvent, TrackedEvent
from hermod.contracts.errors import FieldError, InvalidInput
from hermod.domain.analytics import event_properties
from hermod.storage.analytics.event_outbox import EventLine, EventRow, clickhouse_time, event_line
from starter.notifications.parsing import MalformedJson, read_json
from starter.validation_errors import field_errors

SOURCE: Final = "api"
_WHEN: Final = f"must be within the last {OLDEST.days} days, and at most {MOST_AHEAD // timedelta(hours=1)} hours ahead"
_SHOWN: Final = 10
"""Errors of one event that are told."""

_EVENTS: Final[TypeAdapter[list[TrackedEvent]]] = TypeAdapter(list[TrackedEvent])
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z)|[\[\]{},]', re.DOTALL)
"""A string that never ends is a token too: looked for again from each of its quotes, it would take for ever."""
_BEGIN: Final = re.compile(rb'\s*\{\s*"events"\s*:\s*\[')
_END: Final = re.compile(rb"\s*\}\s*")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event of a body that is no JSON, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class ValidatedEvents:
    """What can be taken, and what cannot, with its place."""

    good: Sequence[EventLine]
    rejected: Sequence[RejectedEvent]


def read_events(body: bytes) -> tuple[Sequence[object], bool]:
    """The events of a body, and whether it is one event by itself.

    Raises MalformedJson and InvalidInput where the body as a whole is wrong.
    """
    given = _read(body)
    if isinstance(given, dict) and "events" not in given:
        return [given], True
    if not isinstance(given, dict):
        raise InvalidInput.of("body", "must be an event, or an object with a list of events")
    wrong = [FieldError(str(name)[:200], "there is no such field") for name in given if name != "events"]
    events = given["events"]
    if not isinstance(events, list):
        wrong.append(FieldError("events", "must be a list"))
    elif not 1 <= len(events) <= MAX_EVENTS:
        wrong.append(FieldError("events", f"must have 1 to {MAX_EVENTS} events; there are {len(events)}"))
    if wrong:
        raise InvalidInput(wrong[:100])
    return events, False


def read_one(event: bytes) -> object:
    """What an event by itself says, or that it is unreadable."""
    try:
        return read_json(event)
    except MalformedJson as error:
        return Unreadable(f"is {error}")


def validate(tenant: str, given: Sequence[object], first: int, now: datetime) -> ValidatedEvents:
    """Check events, the first of which has the place `first`."""
    good: list[EventLine] = []
    rejected: list[RejectedEvent] = []
    received = clickhouse_time(now)
    # Models as well: `model_copy(update=…)` checks nothing.
    given = [one.model_dump(warnings=False) if isinstance(one, TrackedEvent) else one for one in given]
    for index, event in enumerate(_validated(given), first):
        errors = _errors(event, given[index - first], now)
        if not errors and isinstance(event, TrackedEvent):
            try:
                good.append(_line(tenant, event, now, received))
                continue
            except InvalidInput as wrong:
                errors = list(wrong.errors)
        shown = tuple({"field": error.field, "message": error.message} for error in errors[:_SHOWN])
        rejected.append(RejectedEvent(index=index, errors=shown))
    return ValidatedEvents(good, rejected)


def _read(body: bytes) -> Any:
    try:
        return read_json(body)
    except MalformedJson:
        events = _cut(body)
        if events is None:
            raise
        return {"events": [read_one(event) for event in events]}


def _cut(body: bytes) -> list[bytes] | None:
    """The events of `{"events": […]}` as text, or None where the brackets of the body do not fit together."""
    begin = _BEGIN.match(body)
    if begin is None:
        return None
    events: list[bytes] = []
    at, depth = begin.end(), 0
    for token in _TOKEN.finditer(body, at):
        mark = token[0]
        if mark in b"[{":
            depth += 1
        elif mark in b"]}" and depth:
            depth -= 1
        elif not depth and mark in b",]":
            events.append(body[at : token.start()])
            at = token.end()
            if mark == b"]":
                return events if _END.fullmatch(body, at) else None
            if len(events) == MAX_EVENTS:
                return None
        elif not depth and mark == b"}":
            return None
    return None


def _validated(given: Sequence[object]) -> Iterator[TrackedEvent | ValidationError | Unreadable]:
    """One call for all, and one for each only where some are wrong."""
    try:
        yield from _EVENTS.validate_python(given)
    except ValidationError:
        for one in given:
            if isinstance(one, Unreadable):
                yield one
                continue
            try:
                yield TrackedEvent.model_validate(one)
            except ValidationError as error:
                yield error


def _errors(event: TrackedEvent | ValidationError | Unreadable, given: object, now: datetime) -> list[FieldError]:
    if isinstance(event, ValidationError):
        return field_errors(event, given, whole="event")
    if isinstance(event, Unreadable):
        return [FieldError("event", event.reason)]
    at = event.occurred_at
    if at is None or now - OLDEST <= at <= now + MOST_AHEAD:
        return []
    words = (
        f"must be within the last {OLDEST.days} days, and at most {MOST_AHEAD.total_seconds() / 3600:.0f} hours ahead"
    )
    return [FieldError("occurred_at", words)]


def _line(tenant: str, event: TrackedEvent, now: datetime, received: str) -> EventLine:
    """Raises InvalidInput where the properties are not what properties may be."""
    row = EventRow(
        type=event.type,
        occurred_at=event.occurred_at or now,
        source=SOURCE,
        event_id=event.event_id,
        contact=event.contact,
        session=event.session,
        properties=event.properties,
    )
    try:
        line = event_line(tenant, row, received)
    except TypeError:
        wrong = event_properties.fault(event.properties, 0) or event_properties.NOT_PLAIN
        raise InvalidInput.of("properties", wrong) from None
    if not event_properties.is_surely_fine(line.line):
        fault = event_properties.fault(event.properties, len(orjson.dumps(event.properties)))
        if fault is not None:
            raise InvalidInput.of("properties", fault)
    return line
