"""A tenant's acknowledged events, from PostgreSQL to ClickHouse, in rounds until none wait.

Each round is one activity: the database decides what goes into it, and repeats find the same rows. While ClickHouse is
away the round is repeated for as long as it takes; the rows wait in PostgreSQL, not here. Cancelling loses nothing:
the sweeper starts it again for what it had taken.
"""

from __future__ import annotations

from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.analytics.events import EventActivities
    from hermod.contracts.analytics.events import IngestEventsInput, IngestInput, IngestResult
    from hermod.contracts.queues import Lane
    from workflows.policies import INGEST

ROUNDS_A_RUN: Final = 200


@workflow.defn(name="IngestEvents")
class IngestEvents:
    @workflow.run
    async def run(self, asked: IngestEventsInput) -> IngestResult:
        result = await self._until_none_wait(asked)
        if result is None:
            workflow.continue_as_new(asked)
        return result

    async def _until_none_wait(self, asked: IngestEventsInput) -> IngestResult | None:
        """None where there is more for another run."""
        events = 0
        for made in range(1, ROUNDS_A_RUN + 1):
            report = await workflow.execute_activity_method(
                EventActivities.ingest_events,
                IngestInput(tenant=asked.tenant, insert=asked.batch),
                task_queue=Lane.EVENTS,
                **INGEST,
            )
            events += report.events
            if not report.more:
                return IngestResult(events=events, rounds=made)
        return None
