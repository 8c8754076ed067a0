"""Every two minutes: webhook endpoints that were disabled are made known, to other endpoints and to the owner."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.webhooks.notices import NoticeActivities
    from hermod.contracts.queues import WORKFLOWS
    from hermod.contracts.webhooks.notices import NoticeReport
    from workflows.policies import SWEEP


@workflow.defn(name="SendWebhookNotices")
class SendWebhookNotices:
    @workflow.run
    async def run(self) -> NoticeReport:
        return await workflow.execute_activity_method(
            NoticeActivities.send_webhook_notices, task_queue=WORKFLOWS, **SWEEP
        )
