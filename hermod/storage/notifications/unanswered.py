"""Sent messages without a receipt, of providers that have to be asked. Implements
`hermod.ports.notifications.receipts`.

Expo's rule, and nobody else has another so far: a receipt is there after a quarter of an hour, and for a day.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from hermod.ports.notifications.receipts import AwaitingReceipt
from hermod.storage.database.engine import Database, sql

READY_AFTER: Final = timedelta(minutes=15)
KEPT_FOR: Final = timedelta(hours=24)
PAGE: Final = 5_000

_PAGE: Final = sql("""
    SELECT m.tenant_id, m.id, m.provider_message_id, m.finished_at, a.account
      FROM messages m
      JOIN LATERAL (
        SELECT account FROM attempts
         WHERE tenant_id = m.tenant_id AND message_id = m.id AND provider_message_id = m.provider_message_id
         ORDER BY number DESC LIMIT 1) AS a ON true
     WHERE m.channel = 'push' AND m.provider_message_id IS NOT NULL AND m.status = 'sent'
       AND m.provider = ANY(CAST(:providers AS text[]))
       AND m.finished_at > CAST(:since AS timestamptz) AND m.finished_at <= :until
       AND (m.finished_at, m.tenant_id, m.id) > (CAST(:since AS timestamptz), CAST(:after_tenant AS text), :id)
       AND NOT EXISTS (SELECT 1 FROM receipts r
                        WHERE r.tenant_id = m.tenant_id AND r.account = a.account
                          AND r.event_id = m.provider_message_id)
     ORDER BY m.finished_at, m.tenant_id, m.id LIMIT CAST(:limit AS int)
""")


class SentMessages:
    """`providers`: those that have to be asked."""

    def __init__(self, database: Database, providers: Iterable[str]) -> None:
        self._database = database
        self._providers = sorted(providers)

    async def pages(self, now: datetime) -> AsyncIterator[Sequence[AwaitingReceipt]]:
        names = {"providers": self._providers, "until": now - READY_AFTER, "limit": PAGE}
        since, tenant, message = now - KEPT_FOR, "", ""
        while True:
            place = {"since": since, "after_tenant": tenant, "id": message}
            rows = await self._database.rows(_PAGE, names | place)
            of_account = sorted((row.tenant_id, row.account, row.provider_message_id) for row in rows)
            yield [
                AwaitingReceipt(tenant=tenant, account=account, theirs=tuple(theirs for _, _, theirs in group))
                for (tenant, account), group in groupby(of_account, key=lambda one: one[:2])
            ]
            if len(rows) < PAGE:
                return
            since, tenant, message = rows[-1].finished_at, rows[-1].tenant_id, rows[-1].id
