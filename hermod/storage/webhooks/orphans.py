"""Finding webhook deliveries that nobody is working on, over all tenants.

Those that keep order are found by their line (`hermod.storage.webhooks.order`), those that wait for an endpoint in
trouble by the endpoint (`hermod.storage.webhooks.waiting`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row

from hermod.storage.database.engine import Database
from hermod.storage.operations.orphaned_records import (
    Orphan,
    OrphanedRecords,
    SharedStatements,
    Statements,
    as_read,
    dead_lettering,
    transferring,
)
from hermod.storage.operations.workers import Workers
from hermod.storage.webhooks.ledger_statements import END_LOST, UNDER_WAY
from hermod.storage.webhooks.waiting import WITH_WAITER

_TABLE: Final = "webhook_deliveries"


_STATEMENTS: Final = Statements.of(
    _TABLE,
    "attempt_count, endpoint_id",
    among=f"order_key IS NULL AND NOT {WITH_WAITER}",
    due="coalesce(next_attempt_at, updated_at) < :until",
    dead_letter=dead_lettering(_TABLE),
)
_SHARED: Final = SharedStatements(transfer=transferring(_TABLE), under_way=UNDER_WAY, end_lost=END_LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanedDelivery(Orphan):
    endpoint: str


class OrphanedDeliveries(OrphanedRecords[OrphanedDelivery]):
    def __init__(self, database: Database, workers: Workers) -> None:
        super().__init__(database, _STATEMENTS, _orphaned, (_SHARED, workers))


def _orphaned(row: Row[Any]) -> OrphanedDelivery:
    return OrphanedDelivery(**as_read(row), endpoint=row.endpoint_id)
