"""Every hour: remove the devices whose tokens are wrong beyond doubt. Where many are, it is the account that is."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.housekeeping.devices import DeviceActivities
    from hermod.contracts.notifications.devices import DeviceReport
    from hermod.contracts.queues import WORKFLOWS
    from workflows.policies import SWEEP


@workflow.defn(name="RemoveDeadDevices")
class RemoveDeadDevices:
    @workflow.run
    async def run(self) -> DeviceReport:
        return await workflow.execute_activity_method(
            DeviceActivities.remove_dead_devices, task_queue=WORKFLOWS, **SWEEP
        )
