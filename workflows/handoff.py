"""How a batch lets go of what has to wait too long: into workflows of its own, which go on when the batch has ended."""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from hermod.contracts.priorities import priority_of
    from workflows.search_attributes import CHANNEL, TENANT
from workflows.patches import owned_before_it_leaves
from workflows.summaries import details, summary


async def start_detached(alone: Any, order: Any, workflow_id: str, *, channel: str, count: int = 1) -> None:
    """`alone` is the run method of the workflow that takes over `order`, of so many records. It is found and told like
    one that was started by itself."""
    what = channel if count == 1 else f"{count} × {channel}"
    urgency = priority_of(workflow.info().priority.priority_key)
    try:
        _ = await workflow.start_child_workflow(
            alone,
            order,
            id=workflow_id,
            parent_close_policy=ParentClosePolicy.ABANDON,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(TENANT, order.tenant), SearchAttributePair(CHANNEL, channel)]
            ),
            static_summary=summary(what, order.tenant, urgency),
            static_details=details(workflow_id, what, order.tenant, urgency),
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("already on its own")


def taken_from() -> str | None:
    """The batch that a workflow is to take its records over from; None where they are its own already."""
    return None if owned_before_it_leaves() else workflow.info().workflow_id
