"""Every fifteen seconds: start what was accepted and has no workflow, look after what has been still too long."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.housekeeping.sweeping import HousekeepingActivities
    from hermod.contracts.notifications.delivery import SweepReport
    from hermod.contracts.queues import WORKFLOWS
    from workflows.policies import SWEEP


@workflow.defn(name="SweepStranded")
class SweepStranded:
    @workflow.run
    async def run(self) -> SweepReport:
        return await workflow.execute_activity_method(
            HousekeepingActivities.sweep_stranded, task_queue=WORKFLOWS, **SWEEP
        )
