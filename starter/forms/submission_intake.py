"""Submissions of forms: checked, stored, and their workflows started. An answer waits for the database, never for
Temporal: accepted means durable, and the sweeper starts what could not be started here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

import orjson
from pydantic import ValidationError
from temporalio.client import Client

from hermod.bootstrap import Storage
from hermod.contracts.errors import FieldError, IdempotencyMismatch, InvalidInput, NotFound, TooMany
from hermod.contracts.forms.forms import (
    ProcessSubmissionInput,
    SpamGuard,
    SubmissionInput,
    SubmissionReceipt,
    SubmissionStatus,
)
from hermod.contracts.ids import new_id, submission_workflow
from hermod.domain.forms.schemas import FEW_STEPS, FormSchema, steps_of
from hermod.domain.steps import TooManySteps
from hermod.heavy_work import off_loop
from hermod.ports.clock import Clock
from hermod.storage.forms.forms import Form
from hermod.storage.forms.submission_acceptance import SubmissionDraft, TakenSubmission
from hermod.storage.forms.submissions import Submissions as StoredSubmissions
from hermod.telemetry import SUBMISSIONS
from starter.concurrency.outbox import Outbox
from starter.temporal.starts import RecordStarter, Start, Starts
from starter.validation_errors import field_errors

SMALL: Final = 16 * 1024
"""Bytes of JSON that are walked over in a moment."""
CHANNEL: Final = "form"
"""As the search attribute says it."""


class OneSubmission(NamedTuple):
    """What starts a submission's workflow, which has no other in it."""

    tenant: str
    id: str
    request_id: str | None


class SubmissionStarter(RecordStarter[OneSubmission]):
    def __init__(self, starts: Starts, submissions: StoredSubmissions, clock: Clock) -> None:
        super().__init__(starts, clock)
        self._submissions = submissions

    async def mark_started(self, unit: OneSubmission) -> None:
        await self._submissions.mark_started(unit.tenant, unit.id, self._clock.now())

    async def _is_pending(self, unit: OneSubmission) -> bool:
        return await self._submissions.is_pending(unit.tenant, unit.id)

    def _start(self, unit: OneSubmission) -> Start:
        return _start(unit)


class Submissions(Outbox[SubmissionDraft, TakenSubmission]):
    """What the submissions of all tenants of one process share."""

    def __init__(
        self,
        client: Client,
        storage: Storage,
        clock: Clock,
        *,
        converted: Callable[[str, str, str], None] = lambda tenant, form, session: None,
    ) -> None:
        """`converted` is told of each session (tenant, form, session) whose partial a submission may have ended."""
        super().__init__(clock)
        self._storage = storage
        self._starts = Starts(client, storage.limits)
        self.starter = SubmissionStarter(self._starts, storage.submissions, clock)
        self._converted = converted

    async def take(
        self, tenant: str, form: str, asked: SubmissionInput, *, key: str | None = None, request_id: str | None = None
    ) -> SubmissionReceipt:
        """Store a submission and have it processed; a repeat under the same key gives the same answer.

        Raises NotFound for the form, InvalidInput, TooMany where the visitor's address has had its share, and
        Unavailable, with nothing stored; and MaybeStored.
        """
        found = await self._storage.forms.compiled(tenant, form)
        try:
            draft = await self._draft(found, asked, key, request_id)
            await self._admit(tenant, found, asked, key)
        except (InvalidInput, TooMany) as refusal:
            SUBMISSIONS.labels("limited" if isinstance(refusal, TooMany) else "refused").inc()
            # What was right when the key was first used may be wrong by now: the answer stays the same.
            known = await self._storage.submission_acceptance.repeated(tenant, form, key, asked)
            if known is not None:
                return known
            raise
        try:
            taken = await self._keep_one(tenant, draft)
        except IdempotencyMismatch:
            SUBMISSIONS.labels("refused").inc()
            raise
        SUBMISSIONS.labels("spam" if draft.is_spam else "accepted" if taken.new else "repeated").inc()
        if taken.new and asked.session is not None:
            self._converted(tenant, form, asked.session)
        return taken.receipt

    async def check(self, tenant: str, form: str, data: Mapping[str, Any]) -> None:
        """Raises InvalidInput for what does not fit the form; where that was deleted, everything does."""
        try:
            found = await self._storage.forms.compiled(tenant, form)
        except NotFound:
            return
        if wrong := await faults_in(found.schema, data, len(orjson.dumps(data))):
            raise InvalidInput(wrong)

    async def wake(self, tenant: str, submission: str, request_id: str | None = None) -> bool:
        """Have a submission's record looked at again; call it after the commit that changed the record.

        Starts its workflow where it has ended. False where Temporal is away.
        """
        return await self._starts.begin(_start(OneSubmission(tenant, submission, request_id), signal="look_again"))

    async def begin_again(self, tenant: str, submission: str, request_id: str | None) -> bool:
        """Start the workflow of a submission that had been given up and was reopened; False where Temporal is away."""
        return await self.starter.restart(OneSubmission(tenant, submission, request_id))

    async def _store(self, tenant: str, drafts: Sequence[SubmissionDraft], now: datetime) -> Sequence[TakenSubmission]:
        """Each has a statement of its own: few come together."""
        return [await self._storage.submission_acceptance.take(tenant, draft, now) for draft in drafts]

    def _start_stored(self, tenant: str, stored: Iterable[tuple[SubmissionDraft, TakenSubmission]]) -> None:
        for draft, taken in stored:
            if taken.receipt.status is SubmissionStatus.PENDING:
                one = OneSubmission(tenant, taken.receipt.id, draft.request_id)
                self._relay.start(partial(self.starter.start, one))

    async def _draft(
        self, form: Form, asked: SubmissionInput, key: str | None, request_id: str | None
    ) -> SubmissionDraft:
        """Raises InvalidInput for what does not fit the form. What fills the honeypot need not fit."""
        guard = form.definition.spam
        size = len(orjson.dumps(asked.data))
        if size > guard.max_bytes:
            raise InvalidInput.of("data", f"must be at most {_size(guard.max_bytes)} as JSON")
        data, is_spam = without_honeypot(asked.data, guard)
        if not is_spam and (wrong := await faults_in(form.schema, data, size)):
            raise InvalidInput(wrong)
        return SubmissionDraft(
            id=new_id("sub"),
            form=form,
            asked=asked,
            data=asked.data if is_spam else data,
            key=key,
            request_id=request_id,
            caught_by=guard.honeypot if is_spam else None,
        )

    async def _admit(self, tenant: str, form: Form, asked: SubmissionInput, key: str | None) -> None:
        """A repeat under its key is no visit. Raises TooMany."""
        per_hour = form.definition.spam.per_address_per_hour
        if asked.remote_address is None or per_hour is None:
            return
        if await self._storage.submission_acceptance.repeated(tenant, form.id, key, asked) is not None:
            return
        address, now = asked.remote_address, self._clock.now()
        wait = await self._storage.visitor_rates.wait(tenant, form.id, address, per_hour, now)
        if wait is not None:
            raise TooMany("this address has submitted the form too often", retry_after=wait)


async def faults_in(schema: FormSchema, data: Mapping[str, Any], size: int) -> list[FieldError]:
    """What does not fit the form; what takes long to say is found out off the event loop. Raises TooManySteps."""
    if size <= SMALL:
        with suppress(TooManySteps):
            return schema.faults(data, steps_of(FEW_STEPS))
    return await off_loop(schema.faults, data)


def submitted(
    data: Mapping[str, Any],
    session: str | None,
    contact: str | None,
    remote_address: str | None,
    metadata: Mapping[str, Any] | None,
) -> SubmissionInput:
    """The checked form of a call's arguments. Raises InvalidInput."""
    given = {
        "data": dict(data),
        "session": session,
        "contact": contact,
        "remote_address": remote_address,
        "metadata": dict(metadata or {}),
    }
    try:
        return SubmissionInput.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None


def _start(one: OneSubmission, signal: str | None = None) -> Start:
    return Start(
        name="ProcessSubmission",
        order=ProcessSubmissionInput(tenant=one.tenant, submission=one.id),
        workflow_id=submission_workflow(one.tenant, one.id),
        tenant=one.tenant,
        channel=CHANNEL,
        request_id=one.request_id,
        summary="submission",
        signal=signal,
    )


def without_honeypot(data: dict[str, Any], guard: SpamGuard) -> tuple[dict[str, Any], bool]:
    """What was entered but for the field that people do not see, and whether that was filled in."""
    if guard.honeypot is None or guard.honeypot not in data:
        return data, False
    kept = {name: value for name, value in data.items() if name != guard.honeypot}
    return kept, _is_filled(data[guard.honeypot])


def _is_filled(value: Any) -> bool:
    """Whether anything was entered: browsers and form libraries send an empty field in many ways."""
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, dict | list):
        return any(map(_is_filled, value.values() if isinstance(value, dict) else value))
    return bool(value)


def _size(count: int) -> str:
    return f"{count // 1024} KiB" if count >= 1024 else f"{count} bytes"
