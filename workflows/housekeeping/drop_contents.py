"""Every hour: drop the contents of messages that ended long enough ago. Their records stay."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.housekeeping.contents import ContentActivities
    from hermod.contracts.notifications.delivery import RetentionReport
    from hermod.contracts.queues import WORKFLOWS
    from workflows.policies import SWEEP


@workflow.defn(name="DropContents")
class DropContents:
    @workflow.run
    async def run(self) -> RetentionReport:
        return await workflow.execute_activity_method(ContentActivities.drop_contents, task_queue=WORKFLOWS, **SWEEP)
