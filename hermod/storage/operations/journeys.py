"""The steps of visitors' journeys. They are written by whoever makes the step, in the same transaction.

What becomes of messages and webhooks afterwards is not written down again: it is looked up where it stands, by the
references of the steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.errors import NotFound
from hermod.contracts.journeys import JourneyStep, JourneyView
from hermod.contracts.notifications.messages import Status
from hermod.storage.database.engine import Database, sql

MOST_NAMES: Final = 50
"""Contacts, and sessions, that one journey brings together."""
MOST_STEPS: Final = 500
"""Of those that were written down; what became of their messages and webhooks comes on top."""

_NOTE: Final = sql("""
    INSERT INTO journey_steps (tenant_id, at, kind, session, contact, form_id, reference, detail)
    SELECT :tenant, s.at, s.kind, s.session, s.contact, s.form, s.reference, s.detail
      FROM unnest(CAST(:ats AS timestamptz[]), CAST(:kinds AS text[]), CAST(:sessions AS text[]),
                  CAST(:contacts AS text[]), CAST(:forms AS text[]), CAST(:references AS text[]),
                  CAST(:details AS jsonb[])) AS s(at, kind, session, contact, form, reference, detail)
""")

# A session leads to the contacts that are named with it, and they to their other sessions; no further, or a device that
# two people share would bring all of their journeys together.
_NAMES: Final = sql("""
    WITH contacts AS (
      (SELECT contact FROM journey_steps
        WHERE tenant_id = :tenant AND session = CAST(:subject AS text) AND contact IS NOT NULL
       UNION
       SELECT contact FROM journey_steps WHERE tenant_id = :tenant AND contact = CAST(:subject AS text))
      LIMIT CAST(:most AS int)
    ), sessions AS (
      (SELECT session FROM journey_steps
        WHERE tenant_id = :tenant AND contact = ANY(ARRAY(SELECT contact FROM contacts)) AND session IS NOT NULL
       UNION
       SELECT session FROM journey_steps WHERE tenant_id = :tenant AND session = CAST(:subject AS text))
      LIMIT CAST(:most AS int)
    )
    SELECT ARRAY(SELECT contact FROM contacts ORDER BY contact) AS contacts,
           ARRAY(SELECT session FROM sessions ORDER BY session) AS sessions
""")

_STEPS: Final = sql("""
    SELECT at, kind, reference, form_id, detail FROM journey_steps
     WHERE tenant_id = :tenant
       AND (session = ANY(CAST(:sessions AS text[])) OR contact = ANY(CAST(:contacts AS text[])))
     ORDER BY at DESC, id DESC LIMIT CAST(:limit AS int)
""")

_MESSAGES: Final = sql("""
    SELECT id, status, channel, provider, template, error_code, coalesce(finished_at, updated_at) AS at
      FROM messages WHERE tenant_id = :tenant AND id = ANY(CAST(:references AS text[]))
""")

_RECEIPTS: Final = sql("""
    SELECT message_id, kind, min(coalesce(occurred_at, received_at)) AS at, count(*) AS times FROM receipts
     WHERE tenant_id = :tenant AND message_id = ANY(CAST(:references AS text[])) AND kind = ANY(CAST(:kinds AS text[]))
     GROUP BY message_id, kind
""")

_DELIVERIES: Final = sql("""
    SELECT id, status, endpoint_id, event_type, attempt_count, status_code, finished_at AS at
      FROM webhook_deliveries
     WHERE tenant_id = :tenant AND id = ANY(CAST(:references AS text[])) AND finished_at IS NOT NULL
""")

_SENT: Final = (Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED)
_NOT_SENT: Final = (Status.FAILED, Status.CANCELLED, Status.SUPPRESSED, Status.EXPIRED, Status.UNKNOWN)
_REPORTED: Final = (
    *("delivered", "read", "opened", "clicked"),
    *("bounced", "soft_bounced", "failed", "suppressed", "complained", "unsubscribed"),
)
"""Reports of providers that are steps, as they follow each other. A mail that is opened ten times is one step."""
_PLACE: Final = {f"message.{kind}": place for place, kind in enumerate(_REPORTED, 1)}
"""Of steps of the same moment, since many a provider tells times by the second. Of others it is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    at: datetime
    kind: str
    session: str | None = None
    contact: str | None = None
    form: str | None = None
    reference: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


async def note(connection: AsyncConnection, tenant: str, steps: Sequence[Step]) -> None:
    """Write steps down, within the connection's transaction."""
    names = {
        "tenant": tenant,
        "ats": [step.at for step in steps],
        "kinds": [step.kind for step in steps],
        "sessions": [step.session for step in steps],
        "contacts": [step.contact for step in steps],
        "forms": [step.form for step in steps],
        "references": [step.reference for step in steps],
        "details": [orjson.dumps(dict(step.detail)).decode() for step in steps],
    }
    await connection.execute(_NOTE, names)


class Journeys:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def view(self, tenant: str, subject: str) -> JourneyView:
        """All steps of a contact, or of whoever had a session, the oldest first. Raises NotFound."""
        (names,) = await self._database.rows(_NAMES, {"tenant": tenant, "subject": subject, "most": MOST_NAMES})
        if not names.contacts and not names.sessions:
            raise NotFound(f"there is no contact or session {subject}")
        asked = {"tenant": tenant, "contacts": names.contacts, "sessions": names.sessions, "limit": MOST_STEPS + 1}
        rows = await self._database.rows(_STEPS, asked)
        noted = [_noted(row) for row in reversed(rows[:MOST_STEPS])]
        later = sorted(await self._later(tenant, noted), key=lambda step: _PLACE.get(step.kind, 0))
        steps = sorted([*noted, *later], key=lambda step: step.at)
        return JourneyView(
            subject=subject,
            contacts=tuple(names.contacts),
            sessions=tuple(names.sessions),
            steps=tuple(steps),
            truncated=len(rows) > MOST_STEPS,
        )

    async def _later(self, tenant: str, noted: Sequence[JourneyStep]) -> list[JourneyStep]:
        """What became of the messages and webhooks of these steps."""
        forms = {step.reference: step.form for step in noted if step.reference is not None}
        messages = [reference for reference in forms if reference.startswith("msg_")]
        deliveries = [reference for reference in forms if reference.startswith("whd_")]
        found: list[JourneyStep] = []
        if messages:
            asked = {"tenant": tenant, "references": messages}
            found += _of_messages(await self._database.rows(_MESSAGES, asked), forms)
            reports = await self._database.rows(_RECEIPTS, asked | {"kinds": list(_REPORTED)})
            found += _of_reports(reports, forms)
        if deliveries:
            rows = await self._database.rows(_DELIVERIES, {"tenant": tenant, "references": deliveries})
            found += _of_deliveries(rows, forms)
        return found


Forms = Mapping[str, str | None]
"""The form of each reference."""


def _noted(row: Row[Any]) -> JourneyStep:
    reference = row.reference
    if reference is not None and row.kind.startswith("form."):
        # What was announced of a partial names its form, too.
        reference = reference.removeprefix(f"{row.form_id}.")
    return JourneyStep(at=row.at, kind=row.kind, reference=reference, form=row.form_id, detail=row.detail)


def _of_messages(rows: Sequence[Row[Any]], forms: Forms) -> Iterator[JourneyStep]:
    for row in rows:
        detail = {"channel": row.channel, "provider": row.provider, "template": row.template}
        if row.status in _SENT:
            yield _step(row.at, "message.sent", row.id, forms, detail)
        elif row.status in _NOT_SENT:
            yield _step(row.at, f"message.{row.status}", row.id, forms, detail | {"error_code": row.error_code})


def _of_reports(rows: Sequence[Row[Any]], forms: Forms) -> Iterator[JourneyStep]:
    for row in rows:
        times = row.times if row.times > 1 else None
        yield _step(row.at, f"message.{row.kind}", row.message_id, forms, {"times": times})


def _of_deliveries(rows: Sequence[Row[Any]], forms: Forms) -> Iterator[JourneyStep]:
    for row in rows:
        detail = {
            "type": row.event_type,
            "endpoint": row.endpoint_id,
            "attempts": row.attempt_count,
            "status_code": row.status_code,
        }
        yield _step(row.at, f"webhook.{row.status}", row.id, forms, detail)


def _step(at: datetime, kind: str, reference: str, forms: Forms, detail: Mapping[str, Any]) -> JourneyStep:
    known = {name: value for name, value in detail.items() if value is not None}
    return JourneyStep(at=at, kind=kind, reference=reference, form=forms.get(reference), detail=known)
