"""Taking a submission in: its row, the partial that it completes, and the journey's step, in one transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.errors import IdempotencyMismatch
from hermod.contracts.forms.forms import PaymentStatus, SubmissionInput, SubmissionReceipt, SubmissionStatus
from hermod.contracts.ids import submission_workflow
from hermod.storage.database.engine import Database, sql
from hermod.storage.forms import partials
from hermod.storage.forms.forms import Form
from hermod.storage.operations.journeys import Step, note
from hermod.storage.secrets.contents import Contents

RECEIVED: Final = "submission.received"
"""The journey's step."""

_INSERT: Final = sql("""
    INSERT INTO form_submissions (tenant_id, id, form_id, form_revision, definition, status, data, caught_by,
                                  body_hash, idempotency_key, session, contact, metadata, workflow_id, request_id,
                                  payment_status, payment_expires_at, created_at, updated_at, finished_at)
    VALUES (:tenant, :id, CAST(:form AS text), CAST(:revision AS int), CAST(:terms AS jsonb), :status,
            CAST(:data AS bytea), CAST(:caught_by AS text), CAST(:hash AS bytea), CAST(:key AS text),
            CAST(:session AS text), CAST(:contact AS text), CAST(:metadata AS jsonb), CAST(:workflow AS text),
            CAST(:request AS text), CAST(:payment AS text), CAST(:expires_at AS timestamptz), :now, :now,
            CAST(:finished_at AS timestamptz))
    ON CONFLICT DO NOTHING
    RETURNING id
""")
_KNOWN: Final = sql("""
    SELECT id, status, body_hash FROM form_submissions
     WHERE tenant_id = :tenant AND form_id = CAST(:form AS text) AND idempotency_key = CAST(:key AS text)
""")
_OWN: Final = sql("SELECT id, status FROM form_submissions WHERE tenant_id = :tenant AND id = :id")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionDraft:
    """What was submitted, checked, with the id that it will have."""

    id: str
    form: Form
    asked: SubmissionInput
    data: dict[str, Any]
    """What was entered; the honeypot's field only where that caught it."""
    key: str | None
    request_id: str | None
    caught_by: str | None = None
    """The honeypot's field, where that was filled in."""

    @property
    def is_spam(self) -> bool:
        return self.caught_by is not None


@dataclass(frozen=True, slots=True)
class TakenSubmission:
    receipt: SubmissionReceipt
    new: bool
    """False where another submission has used the key before."""


class SubmissionAcceptance:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def take(self, tenant: str, draft: SubmissionDraft, now: datetime) -> TakenSubmission:
        """Store it, durably by the time this returns.

        Spam is a record, and nothing comes of it, nor of its partial: it has no workflow before there is money to tell
        of. Raises IdempotencyMismatch and Unavailable, with nothing stored, and MaybeStored where the database stayed
        away.
        """
        seal = await self._contents.sealing(tenant)
        columns = _columns(tenant, draft, now) | {"data": seal(draft.id, orjson.dumps(draft.data))}
        return await self._database.idempotent(
            lambda connection: _take(connection, tenant, draft, columns, now), atomic=True
        )

    async def repeated(
        self, tenant: str, form: str, key: str | None, asked: SubmissionInput
    ) -> SubmissionReceipt | None:
        """The answer that this key was given before, or None where it is new. Raises IdempotencyMismatch."""
        if key is None:
            return None
        rows = await self._database.rows(_KNOWN, {"tenant": tenant, "form": form, "key": key})
        return _answer(rows[0], asked).receipt if rows else None


async def _take(
    connection: AsyncConnection, tenant: str, draft: SubmissionDraft, columns: dict[str, Any], now: datetime
) -> TakenSubmission:
    if not (await connection.execute(_INSERT, columns)).all():
        return await _stored(connection, tenant, draft)
    if draft.is_spam:
        if draft.asked.session is not None:
            await partials.set_aside(connection, tenant, draft.form.id, draft.asked.session, draft.id, now)
    else:
        contact = draft.asked.contact
        if draft.asked.session is not None:
            session = draft.asked.session
            partial = await partials.convert(connection, tenant, draft.form.id, session, draft.id, now)
            contact = contact or (partial.contact if partial is not None else None)
        if draft.asked.session is not None or contact is not None:
            await note(connection, tenant, [_received(draft, contact, now)])
    status = SubmissionStatus(columns["status"])
    return TakenSubmission(SubmissionReceipt(id=draft.id, status=status), new=True)


async def _stored(connection: AsyncConnection, tenant: str, draft: SubmissionDraft) -> TakenSubmission:
    """The submission itself, where it is stored already, or else the one that has used its key."""
    own = (await connection.execute(_OWN, {"tenant": tenant, "id": draft.id})).one_or_none()
    if own is not None:
        return TakenSubmission(SubmissionReceipt(id=own.id, status=SubmissionStatus(own.status)), new=True)
    names = {"tenant": tenant, "form": draft.form.id, "key": draft.key}
    return _answer((await connection.execute(_KNOWN, names)).one(), draft.asked)


def _answer(row: Row[Any], asked: SubmissionInput) -> TakenSubmission:
    if bytes(row.body_hash) != _fingerprint(asked):
        raise IdempotencyMismatch
    return TakenSubmission(SubmissionReceipt(id=row.id, status=SubmissionStatus(row.status)), new=False)


def _fingerprint(asked: SubmissionInput) -> bytes:
    """Of everything that was said but the address: the same visitor may repeat a call from another network."""
    said = [asked.data, asked.session, asked.contact, asked.metadata]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


def _received(draft: SubmissionDraft, contact: str | None, now: datetime) -> Step:
    return Step(
        at=now,
        kind=RECEIVED,
        session=draft.asked.session,
        contact=contact,
        form=draft.form.id,
        reference=draft.id,
    )


def _columns(tenant: str, draft: SubmissionDraft, now: datetime) -> dict[str, Any]:
    payment = draft.form.definition.payment
    awaits = payment is not None and payment.required and not draft.is_spam
    return {
        "tenant": tenant,
        "id": draft.id,
        "form": draft.form.id,
        "revision": draft.form.revision,
        "terms": draft.form.terms().model_dump_json(),
        "status": (SubmissionStatus.SPAM if draft.is_spam else SubmissionStatus.PENDING).value,
        "caught_by": draft.caught_by,
        "hash": _fingerprint(draft.asked),
        "key": draft.key,
        "session": draft.asked.session,
        "contact": draft.asked.contact,
        "metadata": orjson.dumps(draft.asked.metadata).decode(),
        "workflow": submission_workflow(tenant, draft.id),
        "request": draft.request_id,
        "payment": PaymentStatus.AWAITED.value if awaits else None,
        "expires_at": now + payment.expires_in if awaits and payment is not None else None,
        "now": now,
        "finished_at": now if draft.is_spam else None,
    }
