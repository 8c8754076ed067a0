"""A killed worker is missed at once, and not only when its heartbeats have failed to come for ten seconds.

For tests of what happens then. That a lost worker is noticed by itself is in tests/faults/test_worker_killed.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import UpdateActivityOptionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from tests.support.polling import eventually
from workflows.policies import DELIVER

_STARTED: Final = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED


async def miss_worker(client: Client, workflow_ids: Iterable[str]) -> None:
    """What the worker had at hand for these workflows is ready for another one. Those not started yet had nothing."""
    for workflow_id in workflow_ids:
        held = await _held(client, workflow_id)
        for activity in held:
            await _beat_within(client, workflow_id, activity, timedelta(milliseconds=1))

        async def none_is_held(workflow_id: str = workflow_id) -> bool:
            return not await _held(client, workflow_id)

        await eventually(none_is_held)
        for activity in held:
            await _beat_within(client, workflow_id, activity, DELIVER["heartbeat_timeout"])


async def _held(client: Client, workflow_id: str) -> list[str]:
    try:
        description = await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return []
        raise
    pending = description.raw_description.pending_activities
    return [
        one.activity_id
        for one in pending
        if one.state == _STARTED and one.activity_type.name.startswith(("deliver", "ingest", "process"))
    ]


async def _beat_within(client: Client, workflow_id: str, activity: str, heartbeat: timedelta) -> None:
    timeout = Duration()
    timeout.FromTimedelta(heartbeat)
    await client.workflow_service.update_activity_options(
        UpdateActivityOptionsRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id),
            id=activity,
            activity_options=ActivityOptions(heartbeat_timeout=timeout),
            update_mask=FieldMask(paths=["heartbeat_timeout"]),
        )
    )
