"""What payment providers have told, and what it makes of the payments of submissions.

Each event is a row that never changes but for its link: whose payment it is. An event names the submission itself, or
it is of a payment (a payment intent, a checkout session) of which another event does; until one does, it waits. With
every event, the payment of its submission is made anew out of all of them (`hermod.domain.payments.payments`), in the
same transaction as the row, the journey and the mark that the submission's workflow has to hear of it.

The events of one tenant are taken one after another: two that come at the same instant, one of which names the
submission of the other, must not miss each other.

The changes of a payment are counted (`payment_version`). A change is told once the workflow's own last step says so,
with the number as it was read (`hermod.storage.forms.submission_steps`): to be woken is not enough, as the workflow may
be closed before it has looked. `untold_since` is what the sweeper goes by; whoever wakes the workflow moves it ahead.
The clocks of two processes are never compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.forms.forms import PaymentStatus, SubmissionStatus
from hermod.contracts.forms.payments import PaymentEventPage, PaymentEventView
from hermod.domain.payments.payments import Fact, Payment, payment_of
from hermod.domain.payments.stripe_events import StripeEvent
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import page_of
from hermod.storage.operations.journeys import Step, note

LATE: Final = "payment.late"
"""A step of the journey: the money came after the submission had expired, and brought it back."""
_KEPT: Final = frozenset({PaymentStatus.PAID, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.DISPUTED})
"""Money that came and has not gone back as a whole."""
_MOST_RELATED: Final = 1_000
_ACTOR: Final = "stripe"
_IN_DOUBT: Final = "the database did not answer: the event may be kept all the same; it is safe to send it again"

_ONE_AFTER_ANOTHER: Final = sql("SELECT pg_advisory_xact_lock(hashtextextended('payments/' || :tenant, 0))")
_KEEP: Final = sql("""
    INSERT INTO payment_events (tenant_id, id, type, payment_reference, checkout_reference, facts, occurred_at,
                                received_at)
    VALUES (:tenant, :id, CAST(:type AS text), CAST(:payment AS text), CAST(:checkout AS text), CAST(:facts AS jsonb),
            CAST(:occurred_at AS timestamptz), :now)
    ON CONFLICT DO NOTHING
    RETURNING id
""")
_RELATED: Final = sql("""
    SELECT id, submission_id, payment_reference, checkout_reference, facts->>'submission' AS named
      FROM payment_events
     WHERE tenant_id = :tenant
       AND (payment_reference = ANY(CAST(:references AS text[]))
            OR checkout_reference = ANY(CAST(:references AS text[])))
     ORDER BY id LIMIT CAST(:most AS int)
""")
_WAITING: Final = sql("SELECT * FROM payment_events WHERE tenant_id = :tenant AND id = :id AND submission_id IS NULL")
_EXISTING: Final = sql("SELECT id FROM form_submissions WHERE tenant_id = :tenant AND id = ANY(CAST(:ids AS text[]))")
_LINK: Final = sql("""
    UPDATE payment_events SET submission_id = CAST(:submission AS text)
     WHERE tenant_id = :tenant AND id = ANY(CAST(:ids AS text[])) AND submission_id IS NULL
""")
_LOCK: Final = sql("""
    SELECT id, form_id, status, session, contact, payment_status, payment_reference, amount, amount_refunded,
           amount_disputed, amount_returned, currency, paid_at, failure_code, payment_failures
      FROM form_submissions WHERE tenant_id = :tenant AND id = :id FOR NO KEY UPDATE
""")
_FACTS: Final = sql("SELECT facts FROM payment_events WHERE tenant_id = :tenant AND submission_id = :id")
_SETTLE: Final = sql("""
    UPDATE form_submissions
       SET payment_status = CAST(:payment_status AS text), payment_reference = CAST(:reference AS text),
           amount = CAST(:amount AS bigint), amount_refunded = CAST(:refunded AS bigint),
           currency = CAST(:currency AS text), paid_at = CAST(:paid_at AS timestamptz),
           failure_code = CAST(:failure_code AS text), payment_failures = CAST(:failures AS int),
           payment_refunds = payment_refunds + CASE WHEN amount_refunded = CAST(:refunded AS bigint) THEN 0 ELSE 1 END,
           amount_disputed = CAST(:disputed AS bigint), amount_returned = CAST(:returned AS bigint),
           payment_disputes = payment_disputes
                            + CASE WHEN amount_disputed = CAST(:disputed AS bigint) THEN 0 ELSE 1 END,
           payment_returns = payment_returns + CASE WHEN amount_returned = CAST(:returned AS bigint) THEN 0 ELSE 1 END,
           status = CASE WHEN CAST(:revived AS bool) THEN 'awaiting_payment' ELSE status END,
           finished_at = CASE WHEN CAST(:revived AS bool) THEN NULL ELSE finished_at END,
           payment_version = payment_version + 1,
           untold_since = CASE WHEN status = 'failed' OR (status = 'spam' AND CAST(:paid_at AS timestamptz) IS NULL)
                               THEN NULL ELSE CAST(:now AS timestamptz) END,
           updated_at = greatest(updated_at, :now)
     WHERE tenant_id = :tenant AND id = :id
    RETURNING untold_since, payment_version
""")
_AUDIT: Final = sql("""
    INSERT INTO audit (tenant_id, at, actor, action, subject, detail)
    VALUES (:tenant, :now, :actor, 'submission.revive', :id, CAST(:detail AS jsonb))
""")
_UNTOLD: Final = sql("""
    SELECT tenant_id, id, payment_version FROM form_submissions
     WHERE untold_since < :until ORDER BY untold_since LIMIT CAST(:limit AS int)
""")
_WOKEN: Final = sql("""
    UPDATE form_submissions SET untold_since = :again_at
     WHERE tenant_id = :tenant AND id = :id AND payment_version = CAST(:version AS int) AND untold_since < :again_at
""")
_NAMED: Final = sql("""
    SELECT e.tenant_id, e.id FROM payment_events e
      JOIN form_submissions s ON s.tenant_id = e.tenant_id AND s.id = e.facts->>'submission'
     WHERE e.submission_id IS NULL AND e.received_at > CAST(:since AS timestamptz)
     ORDER BY e.received_at LIMIT CAST(:limit AS int)
""")
_PAGE: Final = sql("""
    SELECT * FROM payment_events
     WHERE tenant_id = :tenant
       AND (CAST(:submission AS text) IS NULL OR submission_id = CAST(:submission AS text))
       AND (NOT CAST(:unlinked AS bool) OR submission_id IS NULL)
       AND (CAST(:cursor AS text) IS NULL
            OR (received_at, id) < (SELECT received_at, id FROM payment_events
                                     WHERE tenant_id = :tenant AND id = CAST(:cursor AS text)))
     ORDER BY received_at DESC, id DESC LIMIT CAST(:limit AS int)
""")


class Unannounced(NamedTuple):
    """A submission whose workflow has to hear of its payment, and how often that has changed by then."""

    tenant: str
    submission: str
    version: int


@dataclass(frozen=True, slots=True)
class TakenPayment:
    """What came of an event."""

    new: bool
    changed: str | None = None
    """The submission whose payment has changed."""
    untold: Unannounced | None = None
    """Who has to hear of it. A dead letter's workflow has not: who retries it finds the payment there. Of spam only
    money is worth a word.
    """


class Payments:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, tenant: str, event: StripeEvent, now: datetime) -> TakenPayment:
        """Keep an event that has a fact, and what it changes. One that is known changes nothing.

        Raises Unavailable, with nothing kept, and MaybeStored where the database went away and stayed away.
        """
        assert event.fact is not None  # noqa: S101 - the others say nothing of payments
        kept = {
            "tenant": tenant,
            "id": event.id,
            "type": event.type,
            "payment": event.payment,
            "checkout": event.checkout,
            "facts": orjson.dumps({"submission": event.submission, **event.fact.document()}).decode(),
            "occurred_at": event.at,
            "now": now,
        }

        async def work(connection: AsyncConnection) -> TakenPayment:
            await connection.execute(_ONE_AFTER_ANOTHER, {"tenant": tenant})
            if not (await connection.execute(_KEEP, kept)).all():
                return TakenPayment(new=False)
            submission = await _linked(connection, tenant, [event.payment, event.checkout], event.submission)
            if submission is None:
                return TakenPayment(new=True)
            return await _settled(connection, tenant, submission, event.id, now)

        return await self._database.idempotent(work, atomic=True, in_doubt=_IN_DOUBT)

    async def link_named(self, now: datetime, *, within: timedelta, limit: int) -> int:
        """Apply events that came before the submission which they name; how many submissions changed."""
        rows = await self._database.rows(_NAMED, {"since": now - within, "limit": limit})
        changed = 0
        for row in rows:
            async with self._database.begin() as connection:
                await connection.execute(_ONE_AFTER_ANOTHER, {"tenant": row.tenant_id})
                changed += await _apply(connection, row.tenant_id, row.id, now)
        return changed

    async def untold(self, now: datetime, *, older_than: timedelta, limit: int) -> list[Unannounced]:
        """Whose payment changed so long ago, and whose workflow has not told of it."""
        rows = await self._database.rows(_UNTOLD, {"until": now - older_than, "limit": limit})
        return [Unannounced(row.tenant_id, row.id, row.payment_version) for row in rows]

    async def mark_woken(self, woken: Unannounced, again_at: datetime) -> None:
        """Its workflow was woken for that version, which was read before, and is woken again at `again_at` should it
        not have told by then. A newer version is still to be told at once.
        """
        names = {"tenant": woken.tenant, "id": woken.submission, "version": woken.version, "again_at": again_at}
        await self._database.execute(_WOKEN, names)

    async def events(
        self, tenant: str, *, submission: str | None = None, unlinked: bool = False, cursor: str | None, limit: int
    ) -> PaymentEventPage:
        """What was told, the newest first."""
        names = {"tenant": tenant, "submission": submission, "unlinked": unlinked, "cursor": cursor, "limit": limit + 1}
        rows = await self._database.rows(_PAGE, names)
        items, next_cursor = page_of("payment_event", rows, limit, _view)
        return PaymentEventPage(items=items, next_cursor=next_cursor)


async def _apply(connection: AsyncConnection, tenant: str, event: str, now: datetime) -> bool:
    row = (await connection.execute(_WAITING, {"tenant": tenant, "id": event})).one_or_none()
    if row is None:
        return False
    references = [row.payment_reference, row.checkout_reference]
    submission = await _linked(connection, tenant, references, row.facts.get("submission"))
    if submission is None:
        return False
    return (await _settled(connection, tenant, submission, event, now)).changed is not None


async def _linked(
    connection: AsyncConnection, tenant: str, references: Sequence[str | None], named: str | None
) -> str | None:
    """Whose payment it is, having linked all that is of the same payment and was not linked yet; None: not known."""
    rows = await _related(connection, tenant, {one for one in references if one is not None})
    candidates: set[str] = {name for name in (named, *(row.named for row in rows)) if name is not None}
    found = await connection.execute(_EXISTING, {"tenant": tenant, "ids": sorted(candidates)})
    existing = {row.id for row in found}
    linked = sorted(row.submission_id for row in rows if row.submission_id is not None)
    if named not in existing:
        named = next(iter(linked or sorted(existing)), None)
    waiting = [row.id for row in rows if row.submission_id is None and row.named in (None, named)]
    if named is not None and waiting:
        await connection.execute(_LINK, {"tenant": tenant, "submission": named, "ids": waiting})
    return named


async def _related(connection: AsyncConnection, tenant: str, references: set[str]) -> Sequence[Row[Any]]:
    """All events of the same payment: of the same intent, of a session that made it, of another that knows both."""
    while True:
        names = {"tenant": tenant, "references": sorted(references), "most": _MOST_RELATED}
        rows = (await connection.execute(_RELATED, names)).all()
        known = {one for row in rows for one in (row.payment_reference, row.checkout_reference) if one is not None}
        if known <= references:
            return rows
        references |= known


async def _settled(
    connection: AsyncConnection, tenant: str, submission: str, event: str, now: datetime
) -> TakenPayment:
    """Make the submission's payment anew of all that is known of it."""
    key = {"tenant": tenant, "id": submission}
    row = (await connection.execute(_LOCK, key)).one_or_none()
    if row is None:
        return TakenPayment(new=True)
    facts = [_fact(stored.facts) for stored in await connection.execute(_FACTS, key)]
    expired = row.status == SubmissionStatus.EXPIRED
    payment = payment_of(facts, over=expired)
    if payment is None or payment == _stored(row):
        return TakenPayment(new=True)
    revived = expired and payment.status in _KEPT
    settled = await connection.execute(_SETTLE, key | {"now": now, "revived": revived, **_columns(payment)})
    after = settled.one()
    untold = None if after.untold_since is None else Unannounced(tenant, submission, after.payment_version)
    steps = [_step(row, f"payment.{payment.status.value}", payment, event, now)]
    if revived:
        steps.append(_step(row, LATE, payment, event, now))
        detail = orjson.dumps({"event": event, "payment": payment.reference}).decode()
        await connection.execute(_AUDIT, key | {"now": now, "actor": _ACTOR, "detail": detail})
    if row.session is not None or row.contact is not None:
        await note(connection, tenant, steps)
    return TakenPayment(new=True, changed=submission, untold=untold)


def _stored(row: Row[Any]) -> Payment | None:
    """The payment as the submission has it; None where nothing has been told of it."""
    if row.payment_status is None:
        return None
    return Payment(
        status=PaymentStatus(row.payment_status),
        reference=row.payment_reference,
        amount=row.amount,
        amount_refunded=row.amount_refunded,
        amount_disputed=row.amount_disputed,
        amount_returned=row.amount_returned,
        currency=row.currency,
        paid_at=row.paid_at,
        failure_code=row.failure_code,
        failures=row.payment_failures,
    )


def _columns(payment: Payment) -> dict[str, Any]:
    return {
        "payment_status": payment.status.value,
        "reference": payment.reference,
        "amount": payment.amount,
        "refunded": payment.amount_refunded,
        "disputed": payment.amount_disputed,
        "returned": payment.amount_returned,
        "currency": payment.currency,
        "paid_at": payment.paid_at,
        "failure_code": payment.failure_code,
        "failures": payment.failures,
    }


def _step(row: Row[Any], kind: str, payment: Payment, event: str, now: datetime) -> Step:
    told = {
        "event": event,
        "payment": payment.reference,
        "amount": payment.amount,
        "amount_refunded": payment.amount_refunded or None,
        "amount_disputed": payment.amount_disputed or None,
        "amount_returned": payment.amount_returned or None,
        "currency": payment.currency,
        "failure_code": payment.failure_code,
    }
    return Step(
        at=now,
        kind=kind,
        session=row.session,
        contact=row.contact,
        form=row.form_id,
        reference=row.id,
        detail={name: value for name, value in told.items() if value is not None},
    )


def _fact(document: dict[str, Any]) -> Fact:
    return Fact.of({name: value for name, value in document.items() if name != "submission"})


def _view(row: Row[Any]) -> PaymentEventView:
    return PaymentEventView(
        id=row.id,
        type=row.type,
        submission=row.submission_id,
        payment=row.payment_reference,
        checkout=row.checkout_reference,
        fact={name: value for name, value in row.facts.items() if name not in ("submission", "payment", "checkout")},
        occurred_at=row.occurred_at,
        received_at=row.received_at,
    )
