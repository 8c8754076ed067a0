"""Every quarter of an hour: does the ledger keep its promises? A run that finds one broken fails, and says which."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.errors import PROMISES_BROKEN
    from activities.housekeeping.promises import PromiseActivities
    from hermod.contracts.notifications.delivery import PromiseReport
    from hermod.contracts.queues import WORKFLOWS
    from workflows.policies import RETENTION


@workflow.defn(name="AuditPromises")
class AuditPromises:
    @workflow.run
    async def run(self) -> PromiseReport:
        report = await workflow.execute_activity_method(
            PromiseActivities.audit_promises, task_queue=WORKFLOWS, **RETENTION
        )
        if report.broken:
            found = ", ".join(f"{name}: {count}" for name, count in sorted(report.broken.items()))
            raise ApplicationError(f"broken: {found}", type=PROMISES_BROKEN, non_retryable=True)
        return report
