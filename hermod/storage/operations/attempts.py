"""Attempts as a history tells them, of messages and of webhook deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from hermod.contracts.notifications.delivery import Attempt


def attempts_of(newest_first: Sequence[Row[Any]]) -> list[Attempt]:
    """In their order. The columns of the rows are fields of an attempt."""
    return [Attempt(**row._asdict() | {"at": row.at.replace(microsecond=0)}) for row in reversed(newest_first)]
