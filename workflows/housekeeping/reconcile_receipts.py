"""Every minute: reports of providers that came before their message's outcome was recorded find their message."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.housekeeping.sweeping import HousekeepingActivities
    from hermod.contracts.notifications.receipts import SettleReport
    from hermod.contracts.queues import WORKFLOWS
    from workflows.policies import SWEEP


@workflow.defn(name="ReconcileReceipts")
class ReconcileReceipts:
    @workflow.run
    async def run(self) -> SettleReport:
        return await workflow.execute_activity_method(
            HousekeepingActivities.reconcile_receipts, task_queue=WORKFLOWS, **SWEEP
        )
