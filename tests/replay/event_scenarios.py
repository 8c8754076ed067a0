"""The courses of IngestEvents."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from hermod.contracts.analytics.events import IngestEventsInput
from hermod.contracts.ids import events_workflow
from hermod.contracts.queues import WORKFLOWS
from hermod.storage.analytics.event_claims import MOST_BATCHES
from tests.support.product import ProductFixture

_BATCHES: Final = text("""
    INSERT INTO event_batches (tenant_id, id, sink, events, body)
    SELECT CAST(:tenant AS text), 'evb_' || lpad(CAST(n AS text), 28, '0'), 'events', 1, CAST(E'a 1 3\\n{}\\n' AS bytea)
      FROM generate_series(1, CAST(:count AS int)) AS n
""")


async def ingest_events_done(house: ProductFixture) -> str:
    return await _ingest(house, 1)


async def ingest_events_in_two_rounds(house: ProductFixture) -> str:
    return await _ingest(house, MOST_BATCHES + 1)


async def _ingest(house: ProductFixture, batches: int) -> str:
    tenant, insert = house.hermod.tenant, "evb_019aa1c2d3e40123456789abcdef"
    await house.hermod.core.storage.database.execute(_BATCHES, {"tenant": tenant, "count": batches})
    workflow = events_workflow(tenant, insert)
    order = IngestEventsInput(tenant=tenant, batch=insert)
    await house.client.start_workflow("IngestEvents", order, id=workflow, task_queue=WORKFLOWS)
    return workflow
