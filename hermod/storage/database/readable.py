"""Rows that become records one by one, so that one that cannot be read takes no other with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import Row

from hermod.contracts.errors import NewerRecord, Unavailable, Unreadable
from hermod.telemetry import UNREADABLE, get_logger

Record = TypeVar("Record")

_log = get_logger(__name__)


def each(
    kind: str, rows: Iterable[Row[Any]], read: Callable[[Row[Any]], Record], *, key: str = "id"
) -> tuple[list[Record], dict[str, str]]:
    """The records, and why the others cannot be read, by their ids. Raises Unavailable where reading any of them does,
    and NewerRecord where a later version has stored one: what that is, nobody here can say, so nothing is ended.

    `kind` is for the metric: `message`, `delivery` …; `key` is the column with the id.
    """
    records: list[Record] = []
    broken: dict[str, str] = {}
    for row in rows:
        try:
            records.append(read(row))
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this row's
            name = str(getattr(row, key))
            if is_newer(error):
                raise newer(kind, name) from None
            broken[name] = _noted(kind, name, error)
    return records, broken


def listed(
    kind: str, rows: Iterable[Row[Any]], read: Callable[[Row[Any]], Record], *, key: str = "id"
) -> tuple[Record, ...]:
    """The records of a list, without those that cannot be read: the log names them."""
    found = (or_none(kind, str(getattr(row, key)), lambda row=row: read(row)) for row in rows)  # type: ignore[misc]
    return tuple(record for record in found if record is not None)


def page_of(
    kind: str, rows: Sequence[Row[Any]], limit: int, read: Callable[[Row[Any]], Record]
) -> tuple[tuple[Record, ...], str | None]:
    """The records of a page, as `listed`, and the id after which the next one begins; None where there is none.

    `rows` were read with one more than `limit`.
    """
    shown = rows[:limit]
    return listed(kind, shown, read), shown[-1].id if len(rows) > limit else None


def or_none(kind: str, name: str, read: Callable[[], Record]) -> Record | None:
    """One part of a record, or None where it cannot be read: the rest of it can be shown. Raises Unavailable."""
    try:
        return read()
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this part's
        _noted(kind, name, error)
        return None


def reason(error: Exception) -> str:
    """What is wrong, without a word of what is stored: `subject: string_pattern_mismatch`."""
    if isinstance(error, Unreadable):
        return str(error)
    if isinstance(error, ValidationError):
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        return "; ".join(f"{one['loc'][0] if one['loc'] else 'content'}: {one['type']}" for one in wrong[:5])
    return type(error).__name__


def is_newer(error: Exception) -> bool:
    """Whether nothing is wrong with a record but fields that this version does not know, as in the middle of an
    upgrade."""
    return isinstance(error, ValidationError) and {one["type"] for one in error.errors()} == {"extra_forbidden"}


def newer(kind: str, name: str) -> NewerRecord:
    return NewerRecord(
        f"{kind} {name} has fields that this version does not know; a worker of the version that stored it can go on"
    )


def _noted(kind: str, name: str, error: Exception) -> str:
    why = reason(error)
    UNREADABLE.labels(kind).inc()
    _log.error("record_unreadable", kind=kind, id=name, error=why)
    return why
