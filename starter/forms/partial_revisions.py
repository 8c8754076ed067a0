"""Revisions of partial submissions: kept as they come in, and the workflows of their partials woken.

What arrives within a few milliseconds shares a statement. An answer waits for the statement, never for Temporal. A
workflow is woken once until it has looked, however often the visitor types meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import orjson
from pydantic import ValidationError
from temporalio.client import Client

from hermod.bootstrap import Storage
from hermod.contracts.errors import InvalidInput, NotFound
from hermod.contracts.forms.forms import MAX_DATA_BYTES, FormId, PartialInput, PartialReceipt, SavePartialInput, Session
from hermod.contracts.ids import partial_workflow
from hermod.contracts.notifications.delivery import SweepReport
from hermod.contracts.values.model import Model
from hermod.ports.clock import Clock
from hermod.storage.forms.partials import PartialDraft, PartialKey, SavedPartial
from starter.concurrency.outbox import SharedOutbox
from starter.forms.submission_intake import without_honeypot
from starter.housekeeping.sweep_table import PARTIALS
from starter.temporal.signals import signal_if_running
from starter.temporal.starts import Start, Starts
from starter.validation_errors import field_errors

CHANNEL: Final = "form"
MOST_REVISIONS: Final = 500
"""In one statement."""


class Place(Model):
    """Which partial, as a caller writes it."""

    form: FormId
    session: Session


class Partials(SharedOutbox[PartialDraft, PartialDraft, SavedPartial | None]):
    """What the partials of all tenants of one process share. The answer is None where there is no such form."""

    def __init__(self, client: Client, storage: Storage, clock: Clock) -> None:
        super().__init__(clock, MOST_REVISIONS)
        self._client = client
        self._storage = storage
        self._starts = Starts(client, storage.limits)

    async def save(self, tenant: str, draft: PartialDraft) -> PartialReceipt:
        """Keep a revision where it is the highest one.

        Raises NotFound where there is no such form, Unavailable, with nothing stored, and MaybeStored.
        """
        guard = await self._storage.forms.guard(tenant, draft.form)
        draft = replace(draft, is_spam=without_honeypot(draft.data, guard)[1])
        saved = await self._calls.ask(tenant, draft)
        if saved is None:
            raise NotFound(f"there is no form {draft.form}")
        return PartialReceipt(
            id=draft.session,
            status=saved.status,
            revision=saved.revision,
            stored=saved.stored,
            resume_token=self._storage.resume_tokens.token(tenant, draft.form, draft.session),
        )

    def converted(self, tenant: str, form: str, session: str) -> None:
        """A submission has ended the partial, and has been committed: its workflow, if there is one, may end.

        It would find out by itself when the form counts as abandoned.
        """
        self._relay.start(
            partial(signal_if_running, self._client, partial_workflow(tenant, form, session), "look_again")
        )

    async def sweep(self) -> SweepReport:
        """Wake the workflows of partials that nobody may be looking at. One that was woken is left alone for long."""
        now, row = self._clock.now(), PARTIALS
        keys = await self._storage.partials.forgotten(
            now, unseen=row.unstarted_after, still=row.stalled_after, limit=row.at_most
        )
        woken = await row.wake(self._wake, keys)
        if woken:
            await self._storage.partials.touch(woken, now)
        return SweepReport(restarted=len(woken))

    async def _drafts(self, tenant: str, calls: Sequence[PartialDraft]) -> Sequence[PartialDraft]:
        return calls

    async def _store(self, tenant: str, drafts: Sequence[PartialDraft], now: datetime) -> Sequence[SavedPartial | None]:
        return await self._storage.partials.save(tenant, drafts, now)

    def _start_stored(self, tenant: str, stored: Iterable[tuple[PartialDraft, SavedPartial | None]]) -> None:
        keys = {
            PartialKey(tenant, draft.form, draft.session)
            for draft, saved in stored
            if saved is not None and saved.wakes
        }
        for key in keys:
            self._relay.start(partial(self._wake, key))

    async def _wake(self, key: PartialKey) -> bool:
        start = Start(
            name="SavePartial",
            order=SavePartialInput(tenant=key.tenant, form=key.form, session=key.session),
            workflow_id=partial_workflow(*key),
            tenant=key.tenant,
            channel=CHANNEL,
            request_id=None,
            summary=f"partial of {key.form}",
            signal="look_again",
        )
        return await self._starts.begin(start)


def place(form: str, session: str) -> Place:
    """Raises InvalidInput."""
    given: Mapping[str, str] = {"form": form, "session": session}
    try:
        return Place.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None


def draft_of(form: str, session: str, given: Any) -> PartialDraft:
    """A revision that came as JSON, checked. Raises InvalidInput."""
    where = place(form, session)
    try:
        asked = PartialInput.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None
    if len(orjson.dumps(asked.data)) > MAX_DATA_BYTES:
        raise InvalidInput.of("data", f"must be at most {MAX_DATA_BYTES // 1024} KiB as JSON")
    return PartialDraft(
        form=where.form, session=where.session, revision=asked.revision, data=asked.data, contact=asked.contact
    )
