"""Which messages share a workflow: those of one channel, priority and due time, up to five hundred."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from hermod.contracts.ids import batch_workflow, message_id, message_workflow
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.delivery import BATCH_SIZE
from hermod.contracts.notifications.messages import Submission
from hermod.storage.notifications.acceptance import Draft, Ready
from starter.temporal.starts import WorkflowBatch


class Kind(NamedTuple):
    channel: Channel
    priority: int
    due_at: datetime | None


def kind_of(submission: Submission) -> Kind:
    return Kind(submission.content.channel, submission.options.priority, submission.options.send_at)


class Grouping:
    """Gives ids to messages that came together. `batch` names the group; its workflows are numbered.

    `shared`: others of a kind are still to come, so that none has a workflow of its own.
    """

    def __init__(self, tenant: str, batch: str, *, shared: bool = False) -> None:
        self._tenant = tenant
        self._batch = batch
        self._shared = shared
        self._workflows = 0
        self._open: dict[Kind, tuple[str, int]] = {}
        """Workflows with room for so many more."""

    def drafts(self, asked: Sequence[tuple[Ready, str | None]]) -> list[Draft]:
        """A draft per (message, request id), in order."""
        if not self._shared:
            self._open.clear()  # those of the call before are started by now
        sizes = Counter(kind_of(ready.submission) for ready, _ in asked)
        drafts = []
        for ready, request_id in asked:
            kind, own = kind_of(ready.submission), message_id()
            if sizes[kind] == 1 and not self._shared:
                workflow = message_workflow(self._tenant, own)
            else:
                workflow, room = self._open.get(kind, ("", 0))
                if not room:
                    workflow, room = self._next_workflow(), BATCH_SIZE
                self._open[kind] = (workflow, room - 1)
            drafts.append(Draft(own, workflow, request_id, ready))
        return drafts

    def _next_workflow(self) -> str:
        self._workflows += 1
        return batch_workflow(self._tenant, f"{self._batch}.{self._workflows}")

    @staticmethod
    def units(tenant: str, drafts: Iterable[Draft]) -> list[WorkflowBatch]:
        """The workflows to start for these drafts, as their ids say."""
        members: dict[str, list[Draft]] = {}
        for draft in drafts:
            members.setdefault(draft.workflow_id, []).append(draft)
        return [_unit(tenant, workflow_id, of_unit) for workflow_id, of_unit in members.items()]


def _unit(tenant: str, workflow_id: str, drafts: Sequence[Draft]) -> WorkflowBatch:
    kind = kind_of(drafts[0].submission)
    requests = {draft.request_id for draft in drafts}
    return WorkflowBatch(
        workflow_id=workflow_id,
        tenant=tenant,
        channel=kind.channel,
        messages=tuple(draft.id for draft in drafts),
        priority=kind.priority,
        due_at=kind.due_at,
        request_id=requests.pop() if len(requests) == 1 else None,
    )
