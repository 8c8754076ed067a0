"""Rows that become records one by one, so that one that cannot be read takes no other with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import Row

from hermod.contracts.errors import Unavailable, Unreadable
from hermod.telemetry import UNREADABLE, get_logger

Record = TypeVar("Record")

_log = get_logger(__name__)


def each(
    kind: str, rows: Iterable[Row[Any]], read: Callable[[Row[Any]], Record], *, key: str = "id"
) -> tuple[list[Record], dict[str, str]]:
    """The records, and why the others cannot be read, by their ids. Raises Unavailable where reading any of them does.

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
            broken[name] = _noted(kind, name, error)
    return records, broken


def listed(
    kind: str, rows: Iterable[Row[Any]], read: Callable[[Row[Any]], Record], *, key: str = "id"
) -> tuple[Record, ...]:
    """The records of a list, without those that cannot be read: the log names them."""
    return tuple(each(kind, rows, read, key=key)[0])


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


def _noted(kind: str, name: str, error: Exception) -> str:
    why = reason(error)
    UNREADABLE.labels(kind).inc()
    _log.error("record_unreadable", kind=kind, id=name, error=why)
    return why
