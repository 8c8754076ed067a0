"""What Temporal has of a workflow: how it stands, and which records its newest run was begun with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from hermod.contracts.errors import Unavailable
from hermod.contracts.forms.forms import ProcessSubmissionInput
from hermod.contracts.notifications.delivery import SendBatchInput, SendNotificationInput
from hermod.contracts.values.model import Model
from hermod.contracts.webhooks.deliveries import DeliverWebhookInput, DeliverWebhooksInput
from starter.temporal.calls import TEMPORAL_ERRORS, answered_within

ANSWER_WITHIN: Final = timedelta(seconds=5)
_INPUTS: Final[Mapping[str, type[Model]]] = {
    "SendNotification": SendNotificationInput,
    "SendBatch": SendBatchInput,
    "DeliverWebhook": DeliverWebhookInput,
    "DeliverWebhooks": DeliverWebhooksInput,
    "ProcessSubmission": ProcessSubmissionInput,
}


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a workflow, as it was begun."""

    began_at: datetime
    records: frozenset[str]
    """Ids of the records in its input."""


async def workflow_status(client: Client, workflow_id: str) -> tuple[WorkflowExecutionStatus | None, str]:
    """How the newest run stands, and its id; None where Temporal knows no such workflow. Raises Unavailable."""
    try:
        async with answered_within(ANSWER_WITHIN):
            description = await client.get_workflow_handle(workflow_id).describe()
    except TEMPORAL_ERRORS as error:
        if _is_not_found(error):
            return None, ""
        raise Unavailable("Temporal does not answer") from error
    except ValueError:
        # A status that this client has no name for: paused, which is a way of running.
        return WorkflowExecutionStatus.RUNNING, ""
    return description.status, description.run_id


async def begun_with(client: Client, workflow_id: str, run_id: str | None) -> Run | None:
    """What the run was begun with; None where Temporal has no history of it.

    Raises Unavailable, also where this version cannot read it.
    """
    events = client.get_workflow_handle(workflow_id, run_id=run_id or None).fetch_history_events(page_size=1)
    try:
        async with answered_within(ANSWER_WITHIN):
            first = await anext(aiter(events), None)
    except TEMPORAL_ERRORS as error:
        if _is_not_found(error):
            return None
        raise Unavailable("Temporal does not answer") from error
    if first is None:
        return None
    begun = first.workflow_execution_started_event_attributes
    kind = _INPUTS.get(begun.workflow_type.name)
    try:
        given = await client.data_converter.decode(begun.input.payloads, [kind]) if kind is not None else ()
    except Exception as error:  # a payload may be anything
        raise Unavailable("what the workflow was begun with cannot be read by this version") from error
    return Run(first.event_time.ToDatetime(UTC), frozenset().union(*map(_records, given)))


def _is_not_found(error: Exception) -> bool:
    return isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND


def _records(given: Model) -> frozenset[str]:
    match given:
        case SendNotificationInput():
            return frozenset({given.message})
        case SendBatchInput():
            return frozenset(given.messages)
        case DeliverWebhookInput():
            return frozenset({given.delivery})
        case DeliverWebhooksInput():
            return frozenset(given.deliveries)
        case ProcessSubmissionInput():
            return frozenset({given.submission})
        case _:
            return frozenset()
