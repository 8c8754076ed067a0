"""The ledger does not take a step, since the record has moved: that dispatch begins nothing more of the delivery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest

from hermod.clock import SystemClock
from hermod.contracts.ids import webhook_workflow
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from hermod.ports.webhooks.ledger import WebhookIntent, WebhookResult
from hermod.storage.operations.workers import Workers
from hermod.storage.webhooks.ledger import SqlWebhookLedger
from tests.integration.webhooks.bench import TENANT, Bench


async def test_delivery_whose_lost_request_was_recorded_by_somebody_else_is_not_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker was too slow, and not gone: its outcome reaches the ledger a moment earlier."""
    (delivery,) = await bench.accept(await bench.endpoint(), 1)
    owner, ledger = webhook_workflow(TENANT, delivery), bench.storage.webhook_ledger
    lost = SqlWebhookLedger(bench.storage.database, bench.storage.contents, Workers(bench.storage.database))
    await lost.grant(TENANT, owner, [WebhookIntent(delivery=delivery, number=1)], SystemClock().now())
    record = ledger.record

    async def too_late(tenant: str, run: str, results: Sequence[WebhookResult], now: datetime) -> set[str]:
        await record(tenant, run, results, now)
        return await record(tenant, run, results, now)

    monkeypatch.setattr(ledger, "record", too_late)
    progress = await bench.dispatch(owner, [delivery])
    assert bench.receiver.requests == []
    assert [item.status for item in progress.open] == [DeliveryStatus.RETRYING]
