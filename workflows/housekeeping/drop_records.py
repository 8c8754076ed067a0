"""Every hour: drop the records of what ended long ago, and rows that are used up."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.housekeeping.records import RecordActivities
    from hermod.contracts.notifications.delivery import RecordReport
    from hermod.contracts.queues import WORKFLOWS
    from workflows.policies import RETENTION


@workflow.defn(name="DropRecords")
class DropRecords:
    @workflow.run
    async def run(self) -> RecordReport:
        return await workflow.execute_activity_method(RecordActivities.drop_records, task_queue=WORKFLOWS, **RETENTION)
