"""What is wrong with an input, in the caller's words: pydantic's errors as `FieldError`s.

A field is named as the caller wrote it (`from`, `attachments.0.content_base64`), without the names of models and of
the branches of unions; a message says what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hermod.contracts.analytics.queries import BY_PATTERN, FILTER_PATTERN
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import MEDIA_TYPE
from hermod.contracts.notifications.templates import LOCALE_PATTERN
from hermod.contracts.values.text import LINE_PATTERN
from hermod.contracts.webhooks.deliveries import EVENT_FILTER, EVENT_TYPE
from hermod.contracts.webhooks.payload_filters import PAYLOAD_PATH

MOST: Final = 100
"""Errors that one answer names."""
LONGEST: Final = 200
"""Characters of a field's name that are repeated to the caller."""

_AN_OBJECT: Final = "must be an object"
_A_NUMBER: Final = "must be a number"
_A_WHOLE_NUMBER: Final = "must be a whole number"
_A_DURATION: Final = "must be a number of seconds, or a duration like PT24H or 24h"
_A_TIME: Final = "must be a time like 2030-05-01T12:00:00Z"

_WORDS: Final[Mapping[str, str]] = {
    "missing": "missing",
    "extra_forbidden": "there is no such field",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": _A_WHOLE_NUMBER,
    "int_parsing": _A_WHOLE_NUMBER,
    "int_parsing_size": _A_WHOLE_NUMBER,
    "int_from_float": _A_WHOLE_NUMBER,
    "float_type": _A_NUMBER,
    "float_parsing": _A_NUMBER,
    "finite_number": _A_NUMBER,
    "dict_type": _AN_OBJECT,
    "model_type": _AN_OBJECT,
    "model_attributes_type": _AN_OBJECT,
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "datetime_type": _A_TIME,
    "datetime_parsing": _A_TIME,
    "datetime_from_date_parsing": _A_TIME,
    "time_delta_type": _A_DURATION,
    "time_delta_parsing": _A_DURATION,
    "timezone_aware": "must name its time zone, like 2030-05-01T12:00:00Z",
    "value_error": "{error}",
    "misplaced": "{message}",
}
"""By pydantic's type of error; `{…}` are its details."""

PATTERNS: Final[Mapping[str, str]] = {
    r"^[hH][tT][tT][pP][sS]?://[^\s\x00-\x1f\x7f\x85]+$": "must be a URL that begins with https:// or http://",
    r"^https?://[^\s]+$": "must be a URL that begins with https:// or http://",
    r"^https?://[^\s\x00-\x1f\x7f\x85]+$": "must be a URL that begins with https:// or http://",
    LINE_PATTERN: "must be one line, without control characters",
    MEDIA_TYPE: "must be a media type like application/pdf, or text/calendar; method=REQUEST",
    r"^[A-Za-z0-9_.@+-]+$": "must consist of letters from a to z, digits and . _ @ + -",
    r"^[a-z0-9][a-z0-9_-]{0,62}$": "must consist of lower-case letters, digits, - and _, 63 at most",
    r"^[a-z][a-z0-9_]{0,39}$": "must be the name of a provider, like sendgrid",
    r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$": "must be printable ASCII, without spaces at its ends",
    LOCALE_PATTERN: "must be a locale like en, de-AT or zh-Hant-TW",
    EVENT_FILTER: "must be *, or a type like order.paid, or order.*, or orders/*",
    PAYLOAD_PATH: "must be a path like data.status or data.items.0.sku: data and up to ten names, joined by dots",
    EVENT_TYPE: "must be letters, digits, _ and -, in parts joined by dots or slashes",
    FILTER_PATTERN: "must be a property and its value, like plan=pro or total>50",
    BY_PATTERN: "must be type, source, contact, session, or property:NAME",
    r"^[A-Za-z0-9_-]{8,128}$": "must be 8 to 128 letters, digits, - and _, without an address in it",
    r"^[A-Za-z0-9_-]{1,128}$": "must be 1 to 128 letters, digits, - and _",
    r"^[A-Za-z0-9_.:-]{1,128}$": "must be 1 to 128 letters, digits and _ . : -",
    r"^whe_[0-9a-f]{28}$": "must be the next_cursor of an earlier answer",
    r"^rpl_[0-9a-f]{28}$": "must be the next_cursor of an earlier answer",
    r"^whd_[0-9a-f]{28}$": "must be the next_cursor of an earlier answer",
    r"^sub_[0-9a-f]{28}$": "must be the next_cursor of an earlier answer",
    r"^msg_[0-9a-f]{28}$": "must be the next_cursor of an earlier answer",
}
"""What a pattern of ours asks for; a test finds the pattern that has no words here."""

_WRONG_KIND: Final = frozenset(
    {"string_type", "list_type", "tuple_type", "dict_type", "model_type", "model_attributes_type"}
)


class _Fault(NamedTuple):
    """`where` is the path as the caller knows it; `union` the place of a union on the way, and `branch` its member."""

    where: tuple[str, ...]
    union: tuple[str, ...]
    branch: str
    kind: str
    message: str


def field_errors(
    error: ValidationError, given: object, *, tag: str | None = None, whole: str = "body"
) -> list[FieldError]:
    """The errors of a validation of `given`, which is what the caller sent.

    `tag` is the field that told which model of a union was meant; `whole` names `given` itself.
    """
    details = error.errors(include_url=False, include_input=False)
    faults = _true([_fault(detail, given, tag) for detail in islice(details, MOST)])
    return [FieldError(".".join(where)[:LONGEST] or whole, message) for where, message in _told(faults)]


def parameter_errors(details: Iterable[ErrorDetails]) -> list[FieldError]:
    """The same for parameters of a URL, whose location begins with where they stand: `("query", "limit")`."""
    return [FieldError(".".join(map(str, detail["loc"][1:]))[:LONGEST], _message(detail)) for detail in details]


def one_line(errors: Sequence[FieldError]) -> str:
    """All errors on one line, for people: `to: missing; text: must be a string`."""
    return "; ".join(f"{error.field}: {error.message}" for error in errors)


def _fault(detail: ErrorDetails, given: object, tag: str | None) -> _Fault:
    """Follow pydantic's location through what was given. A step that is not there is a branch of a union."""
    where: list[str] = []
    union: tuple[str, ...] = ()
    branch = ""
    location = detail["loc"]
    if tag is not None and location and isinstance(given, Mapping) and location[0] == given.get(tag):
        location = location[1:]
    for place, step in enumerate(location):
        known = _has(given, step)
        if not known and not (detail["type"] == "missing" and place == len(location) - 1):
            union, branch = tuple(where), str(step)
            continue
        given = given[step] if known else None  # type: ignore[index]
        where.append(str(step))
    if detail["type"] in ("union_tag_not_found", "union_tag_invalid", "misplaced"):
        where.append(str(detail["ctx"].get("field") or detail["ctx"]["discriminator"].strip("'")))
    return _Fault(tuple(where), union, branch, detail["type"], _message(detail))


def _has(given: object, step: int | str) -> bool:
    if isinstance(given, Mapping):
        return step in given
    return isinstance(given, list | tuple) and isinstance(step, int) and step < len(given)


def _message(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("too_short", "too_long") and context.get("field_type") == "Value":
        kind = f"string_{kind}"  # a text that is checked by us before its length is
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], "has a character that is not allowed here")
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        expected = ", ".join(part.split("'")[1] for part in context.get("expected_tags", "").split(", ") if "'" in part)
        return f"must be one of {expected}" if expected else "missing"
    if kind == "string_too_short" and context["min_length"] == 1:
        return "must not be empty"
    return _WORDS.get(kind, detail["msg"]).format_map(context) if kind in _WORDS else detail["msg"]


def _true(faults: list[_Fault]) -> list[_Fault]:
    """Without the lists that are too short only because their wrong items were not counted."""
    wrong = {fault.where[:-1] for fault in faults}
    return [fault for fault in faults if fault.kind != "too_short" or fault.where not in wrong]


def _told(faults: Iterable[_Fault]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is worth telling: of a union's branches the one that was meant, or all of them in one message."""
    remaining = list(faults)
    told: dict[tuple[str, ...], list[str]] = {}
    meant = {fault.union for fault in remaining if fault.branch and fault.kind not in _WRONG_KIND}
    for fault in remaining:
        if fault.branch and fault.union in meant and fault.kind in _WRONG_KIND and fault.where == fault.union:
            continue
        messages = told.setdefault(fault.where, [])
        if fault.message not in messages:
            messages.append(fault.message)
    for where, messages in told.items():
        yield where, " or ".join([messages[0], *(message.removeprefix("must be ") for message in messages[1:])])
