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
    kind: str, rows: Iterable[Row[Any]], read: Callable[[Row[Any]], Record]
) -> tuple[list[Record], dict[str, str]]:
    """The records, and why the others cannot be read, by their ids. Raises Unavailable where reading any of them does.

    `kind` is for the metric: `message`, `delivery` …
    """
    records: list[Record] = []
    broken: dict[str, str] = {}
    for row in rows:
        try:
            records.append(read(row))
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this row's
            broken[row.id] = reason(error)
            UNREADABLE.labels(kind).inc()
            _log.error("record_unreadable", kind=kind, id=row.id, error=broken[row.id])
    return records, broken


def reason(error: Exception) -> str:
    """What is wrong, without a word of what is stored: `subject: string_pattern_mismatch`."""
    if isinstance(error, Unreadable):
        return str(error)
    if isinstance(error, ValidationError):
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        return "; ".join(f"{one['loc'][0] if one['loc'] else 'content'}: {one['type']}" for one in wrong[:5])
    return type(error).__name__
