"""What the Web UI's Reset button does."""

from __future__ import annotations

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client


async def reset(client: Client, workflow_id: str, *, to_last: bool) -> None:
    """Run the workflow again from its first, or its last, workflow task on."""
    handle = client.get_workflow_handle(workflow_id)
    history = await handle.fetch_history()
    completed = [
        event.event_id for event in history.events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    run = (await handle.describe()).run_id
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace="default",
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run),
            reason="a test",
            request_id=run,
            workflow_task_finish_event_id=completed[-1 if to_last else 0],
        )
    )
