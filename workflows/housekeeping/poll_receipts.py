"""Every five minutes: ask the providers that call nobody (Expo) what became of the messages that they took."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.housekeeping.devices import DeviceActivities
    from hermod.contracts.notifications.devices import PollReport
    from hermod.contracts.queues import WORKFLOWS
    from workflows.policies import SWEEP


@workflow.defn(name="PollReceipts")
class PollReceipts:
    @workflow.run
    async def run(self) -> PollReport:
        return await workflow.execute_activity_method(DeviceActivities.poll_receipts, task_queue=WORKFLOWS, **SWEEP)
