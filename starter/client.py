"""The `Hermod` client: what application code imports, and what the API and the command line stand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from temporalio.client import Client

from hermod.contracts.analytics.events import EventsReceipt, TrackedEvent
from hermod.contracts.errors import FieldError, IdempotencyMismatch, InvalidInput, Unavailable
from hermod.contracts.forms.forms import PartialReceipt, SubmissionReceipt
from hermod.contracts.ids import batch_id, message_id, message_workflow, parse_workflow_id
from hermod.contracts.notifications.content import AnyContent
from hermod.contracts.notifications.messages import (
    MessageSummary,
    MessageView,
    Narrowed,
    Page,
    Receipt,
    Resolution,
    Status,
    Submission,
)
from hermod.contracts.webhooks.deliveries import EventInput, EventReceipt
from hermod.domain.acceptance import faults, may_be_out_of_date
from hermod.settings import Settings, local_settings
from hermod.storage.notifications.acceptance import Draft, Ready, take
from hermod.telemetry import fault, get_logger
from starter.analytics.events import taken_alone
from starter.forms.partial_revisions import draft_of
from starter.forms.submission_intake import submitted
from starter.idempotency import checked_key
from starter.notifications.parsing import checked, checked_options, checked_or_why, submission
from starter.notifications.templates import call_steps
from starter.services import Services, open_core
from starter.temporal.signals import followed_up, request_cancel
from starter.temporal.starts import WorkflowBatch
from starter.validation_errors import field_errors

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message of a batch that was not taken, by its place in the batch, and why."""

    index: int
    errors: tuple[FieldError, ...]


@dataclass(frozen=True, slots=True)
class BatchReceipt:
    """The answer to `send_many`: receipts in the order of the messages, and what was not taken."""

    batch_id: str
    receipts: tuple[Receipt, ...]
    rejected: tuple[Rejected, ...]


class Hermod:
    """Hands messages to Hermod, and asks after them, for one tenant.

        async with await Hermod.connect() as hermod:
            sent = await hermod.send(Email(to="ada@example.com", subject="Welcome", text="Hello"))

    Every call raises `Unavailable` when the database is away, and nothing is stored then; or `MaybeStored`, which is an
    `Unavailable`, when it went away before it answered. Only with an idempotency key (of an event: `event_id`) is it
    safe to repeat what was to be stored then; where a record was to be moved, look at it first. Temporal may be away:
    what was accepted is started when it is back.
    """

    def __init__(self, core: Services, tenant: str, actor: str, stack: AsyncExitStack | None = None) -> None:
        self._core = core
        self._tenant = tenant
        self._actor = actor
        self._stack = stack

    @classmethod
    async def connect(
        cls,
        *,
        tenant: str | None = None,
        settings: Settings | None = None,
        temporal: Client | None = None,
        actor: str = "application",
    ) -> Self:
        """A client from the environment (DATABASE_URL, TEMPORAL_ADDRESS, HERMOD_SECRET_KEY, HERMOD_TENANT).

        Where a dev stack runs in this folder (`.hermod/dev.json`), its servers are used unless the environment says
        otherwise. `temporal` is a client that the application has already; it needs Temporal's pydantic data converter.
        Raises SettingsError.
        """
        settings = settings or local_settings()
        stack = AsyncExitStack()
        core = await stack.enter_async_context(open_core(settings, temporal))
        return cls(core, tenant or settings.tenant or "default", actor, stack)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hand over everything accepted, then let go of the connections."""
        if self._stack is not None:
            await self._stack.aclose()

    @property
    def core(self) -> Services:
        return self._core

    @property
    def tenant(self) -> str:
        return self._tenant

    @property
    def actor(self) -> str:
        """Who the audit names."""
        return self._actor

    def as_tenant(self, tenant: str, actor: str) -> Hermod:
        """The same connections for another tenant. `actor` is who the audit names."""
        return Hermod(self._core, tenant, actor)

    async def send(
        self,
        content: AnyContent,
        *,
        idempotency_key: str | None = None,
        request_id: str | None = None,
        **options: Any,
    ) -> Receipt:
        """Store one message; it is sent whatever happens from then on.

        `options` are those of `hermod.contracts.notifications.messages.Options`: priority, send_at, not_after,
        guarantee, category, provider_account, retry, metadata, locale. Raises InvalidInput, with nothing stored.
        """
        return await self.take(submission(content, idempotency_key, checked_options(options)), request_id=request_id)

    async def take(self, asked: Submission, *, request_id: str | None = None) -> Receipt:
        """`send` for a message that is already in its checked form."""
        return await self._core.desk.take(self._tenant, asked, request_id)

    async def send_many(
        self, contents: Sequence[AnyContent | Submission], *, request_id: str | None = None, **options: Any
    ) -> BatchReceipt:
        """Store many messages, one workflow per 500. A bad one is rejected with its index, and the others go."""
        shared = checked_options(options)
        return await self.take_many([checked_or_why(one, shared) for one in contents], request_id=request_id)

    async def take_many(
        self, checked: Sequence[Submission | InvalidInput], *, request_id: str | None = None
    ) -> BatchReceipt:
        """`send_many` for messages that are already in their checked form, or why one of them has none."""
        core, now, fresh = self._core, self._core.clock.now(), False
        local = core.settings.local_email_domains
        accounts = await core.storage.accounts.names(self._tenant)
        good: list[tuple[int, tuple[Ready, ...]]] = []
        rejected: list[Rejected] = []
        steps = call_steps()
        for index, asked in enumerate(checked):
            try:
                if isinstance(asked, InvalidInput):
                    raise asked
                wrong = tuple(faults(asked, accounts, now, local))
                if may_be_out_of_date(wrong) and not fresh:
                    accounts, fresh = await core.storage.accounts.names(self._tenant, fresh=True), True
                    wrong = tuple(faults(asked, accounts, now, local))
                if wrong:
                    raise InvalidInput(wrong)
                good.append((index, await core.preparer.prepare(self._tenant, asked, steps)))
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's
                rejected.append(_rejected(index, error))
        batch = batch_id()
        answers = await self._core.coalescer.take_many(self._tenant, [one for _, one in good], request_id, batch)
        receipts = []
        for (index, _), answer in zip(good, answers, strict=True):
            if isinstance(answer, Exception):
                rejected.append(_rejected(index, answer))
            else:
                receipts.append(answer)
        return BatchReceipt(batch, tuple(receipts), tuple(sorted(rejected, key=lambda one: one.index)))

    async def stage(
        self,
        session: AsyncSession | AsyncConnection,
        content: AnyContent,
        *,
        idempotency_key: str | None = None,
        request_id: str | None = None,
        **options: Any,
    ) -> Receipt:
        """Store a message inside the caller's own transaction: it exists if and only if that commits.

        The sweeper starts it within some twenty seconds of the commit.
        """
        asked = submission(content, idempotency_key, checked_options(options))
        await self._core.desk.check(self._tenant, asked)
        readies = await self._core.preparer.prepare(self._tenant, asked)
        connection = await session.connection() if isinstance(session, AsyncSession) else session
        ids = [message_id() for _ in readies]
        group = ids[0] if len(ids) > 1 else None
        drafts = [
            Draft(own, message_workflow(self._tenant, own), request_id, ready, group)
            for own, ready in zip(ids, readies, strict=True)
        ]
        seal = await self._core.storage.contents.sealing(self._tenant)
        answers = await take(connection, self._tenant, drafts, seal, self._core.clock.now())
        first, *others = (answers[own] for own in ids)
        if isinstance(first, IdempotencyMismatch):
            raise first
        return first.model_copy(update={"also": tuple(one.id for one in others if isinstance(one, Receipt))})

    async def emit(
        self,
        type: str,
        payload: Mapping[str, Any],
        *,
        event_id: str | None = None,
        ordering_key: str | None = None,
        request_id: str | None = None,
    ) -> EventReceipt:
        """Store an event; it reaches every endpoint that asked for its type, signed, whatever happens from then on.

        `event_id` makes the call safe to repeat. Events with the same `ordering_key` reach endpoints that keep order
        strictly one after another. Raises InvalidInput, with nothing stored.
        """
        asked = event(type, payload, event_id, ordering_key)
        return await self._core.webhooks.take(self._tenant, asked, request_id)

    async def stage_event(
        self,
        session: AsyncSession | AsyncConnection,
        type: str,
        payload: Mapping[str, Any],
        *,
        event_id: str | None = None,
        ordering_key: str | None = None,
        request_id: str | None = None,
    ) -> EventReceipt:
        """Store an event inside the caller's own transaction: it exists if and only if that commits."""
        asked = event(type, payload, event_id, ordering_key)
        connection = await session.connection() if isinstance(session, AsyncSession) else session
        return await self._core.webhooks.stage(connection, self._tenant, asked, request_id)

    async def submit(
        self,
        form: str,
        data: Mapping[str, Any],
        *,
        session: str | None = None,
        contact: str | None = None,
        remote_address: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        request_id: str | None = None,
    ) -> SubmissionReceipt:
        """Store what a visitor entered into a form; it is processed whatever happens from then on.

        `session` is the one of the partial that it completes. `remote_address` is the visitor's, for the form's spam
        guard. Raises NotFound, InvalidInput with each wrong field, and TooMany, with nothing stored.
        """
        asked = submitted(data, session, contact, remote_address, metadata)
        key = checked_key(idempotency_key)
        return await self._core.submissions.take(self._tenant, form, asked, key=key, request_id=request_id)

    async def save_partial(
        self, form: str, session: str, data: Mapping[str, Any], *, revision: int, contact: str | None = None
    ) -> PartialReceipt:
        """Keep what a visitor has entered so far; the highest revision wins, the others change nothing.

        Raises InvalidInput and NotFound.
        """
        given = {"revision": revision, "data": dict(data), "contact": contact}
        return await self._core.partials.save(self._tenant, draft_of(form, session, given))

    async def track(
        self,
        type: str,
        properties: Mapping[str, Any] | None = None,
        *,
        occurred_at: datetime | None = None,
        event_id: str | None = None,
        contact: str | None = None,
        session: str | None = None,
    ) -> EventsReceipt:
        """Store an event for analytics; it is in ClickHouse soon after, once, whatever happens from then on.

        `event_id` makes the call safe to repeat within seven days. `contact` and `session` are the application's own
        ids, never addresses. Raises InvalidInput, with nothing stored.
        """
        given = {"type": type, "properties": dict(properties or {}), "occurred_at": occurred_at}
        given |= {"event_id": event_id, "contact": contact, "session": session}
        return taken_alone(await self._core.events.take(self._tenant, [given]))

    async def track_many(self, events: Sequence[TrackedEvent | Mapping[str, Any]]) -> EventsReceipt:
        """Store many events, in one transaction. A bad one is rejected with its index, and the others are taken."""
        return await self._core.events.take(self._tenant, events)

    async def status(self, message: str) -> MessageView:
        """A message's whole story. Raises NotFound."""
        return await self._core.storage.messages.view(self._tenant, message)

    async def messages(self, *, cursor: str | None = None, limit: int = 50, **narrowed: Any) -> Page:
        """The newest first. `narrowed` are fields of `hermod.contracts.notifications.messages.Narrowed`: status,
        channel, error_code, since, until, discarded. Raises InvalidInput.
        """
        return await self._core.storage.messages.page(
            self._tenant, checked(Narrowed, narrowed), cursor=cursor, limit=limit
        )

    async def dead_letters(self, *, cursor: str | None = None, limit: int = 50, **narrowed: Any) -> Page:
        """What was given up, or whose outcome nobody knows, without what was discarded. `narrowed` as for `messages`,
        but for `discarded`.
        """
        messages = self._core.storage.messages
        return await messages.dead_letters(self._tenant, checked(Narrowed, narrowed), cursor=cursor, limit=limit)

    async def cancel(self, message: str) -> Receipt:
        """Withdraw a message that waits. Raises NotFound, and Conflict where it is on its way or has ended."""
        core = self._core
        receipt = await core.storage.messages.cancel(self._tenant, message, actor=self._actor, now=core.clock.now())
        reference = parse_workflow_id(receipt.workflow_id)
        if reference is not None and reference.kind == "message":
            await request_cancel(core.temporal, receipt.workflow_id)
        return receipt

    async def retry(self, message: str, *, wait: bool = True) -> Receipt:
        """Begin a dead letter again, as a new run under its own workflow id. Raises NotFound and Conflict.

        Without `wait`, it is started behind the answer.
        """
        messages = self._core.storage.messages
        receipt = await messages.retry(self._tenant, message, actor=self._actor, now=self._core.clock.now())
        if wait:
            return await self._begin_again(receipt)
        self._core.restarts.start(lambda: followed_up(self._start_again(receipt)))
        return receipt

    async def resolve(self, message: str, outcome: Resolution) -> Receipt:
        """Say what became of a message whose outcome is unknown. Raises NotFound and Conflict."""
        messages = self._core.storage.messages
        now = self._core.clock.now()
        receipt = await messages.resolve(self._tenant, message, outcome, actor=self._actor, now=now)
        return await self._begin_again(receipt) if receipt.status is Status.PENDING else receipt

    async def discard(self, message: str) -> MessageSummary:
        """Take a dead letter off the list; its record stays. Raises NotFound and Conflict."""
        messages = self._core.storage.messages
        return await messages.discard(self._tenant, message, actor=self._actor, now=self._core.clock.now())

    async def _begin_again(self, receipt: Receipt) -> Receipt:
        started = await followed_up(self._start_again(receipt))
        return receipt.model_copy(update={"status": Status.QUEUED}) if started else receipt

    async def _start_again(self, receipt: Receipt) -> bool:
        view = await self.status(receipt.id)
        return await self._core.dispatcher.begin_again(
            WorkflowBatch(
                workflow_id=receipt.workflow_id,
                tenant=self._tenant,
                channel=view.channel,
                messages=(receipt.id,),
                priority=view.priority,
                due_at=None,
                request_id=view.request_id,
            )
        )


def _rejected(index: int, error: Exception) -> Rejected:
    if isinstance(error, InvalidInput):
        return Rejected(index, error.errors)
    _log.error("message_not_taken", index=index, **fault(error))
    return Rejected(index, (FieldError("body", "something went wrong with this one; the error is in our log"),))


def event(kind: str, payload: Mapping[str, Any], event_id: str | None, ordering_key: str | None) -> EventInput:
    """The checked form of a call's arguments. Raises InvalidInput."""
    given = {"type": kind, "payload": dict(payload), "event_id": event_id, "ordering_key": ordering_key}
    try:
        return EventInput.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given, whole="event")) from None
