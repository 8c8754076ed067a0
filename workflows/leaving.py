"""How a batch lets go of what has to wait too long: into workflows of its own, which go on when the batch has ended."""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from workflows.patches import owned_before_it_leaves


async def let_go(alone: Any, order: Any, workflow_id: str) -> None:
    """`alone` is the run method of the workflow that takes over `order`."""
    try:
        _ = await workflow.start_child_workflow(
            alone, order, id=workflow_id, parent_close_policy=ParentClosePolicy.ABANDON
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("already on its own")


def taken_from() -> str | None:
    """The batch that a workflow is to take its records over from; None where they are its own already."""
    return None if owned_before_it_leaves() else workflow.info().workflow_id
