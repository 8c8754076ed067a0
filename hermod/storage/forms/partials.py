"""Partial submissions: what visitors have entered so far, one row for each session at a form.

The highest revision wins, whatever the order in which revisions arrive; once a submission has converted the partial,
nothing changes it any more. A row says itself whether its workflow has something to look at (`waits_since`) and when
the workflow will look by itself (`due_at`), so that no signal carries anything and a lost one is found again.

Two executors may look at one partial, and the slower one may report long after: what it has told is a fact and is
written down in any case; `waits_since` and `due_at` it changes only where the row is still what it saw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.errors import NotFound
from hermod.contracts.forms.forms import FormMoment, FormNotification, PartialRules, PartialStatus, PartialView
from hermod.ports.forms.partials import PartialSnapshot
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import or_none
from hermod.storage.forms.resume_tokens import ResumeTokens
from hermod.storage.operations.journeys import Step, note
from hermod.storage.secrets.contents import Contents

# The steps of a journey see the row as it was before the statement: a contact that is new to it is worth a step.
_SAVE: Final = sql("""
    WITH draft AS (
      SELECT d.* FROM unnest(CAST(:forms AS text[]), CAST(:sessions AS text[]), CAST(:revisions AS bigint[]),
                             CAST(:bodies AS bytea[]), CAST(:contacts AS text[]), CAST(:states AS text[]))
                      AS d(form, session, revision, body, contact, status)
        JOIN forms f ON f.tenant_id = :tenant AND f.id = d.form AND f.deleted_at IS NULL
    ), kept AS (
      INSERT INTO form_partials AS p (tenant_id, form_id, session, revision, status, data, contact, waits_since,
                                      created_at, updated_at)
      SELECT :tenant, form, session, revision, status, body, contact,
             CASE WHEN status = 'open' THEN CAST(:now AS timestamptz) END, :now, :now
        FROM draft ORDER BY form, session
      ON CONFLICT (tenant_id, form_id, session) DO UPDATE
         SET revision = excluded.revision, status = excluded.status, data = excluded.data,
             contact = coalesce(excluded.contact, p.contact),
             waits_since = coalesce(p.waits_since, excluded.waits_since),
             updated_at = greatest(p.updated_at, excluded.updated_at)
       WHERE p.submission_id IS NULL AND p.revision < excluded.revision
      RETURNING form_id, session, revision, status, contact, waits_since, xmax = 0 AS begun
    ), noted AS (
      INSERT INTO journey_steps (tenant_id, at, kind, session, contact, form_id, reference, detail)
      SELECT :tenant, :now, 'form.partial', session, contact, form_id, session, jsonb_build_object('revision', revision)
        FROM kept k
       WHERE status = 'open' AND (begun OR (contact IS NOT NULL AND NOT EXISTS (
         SELECT 1 FROM form_partials o
          WHERE o.tenant_id = :tenant AND o.form_id = k.form_id AND o.session = k.session AND o.contact = k.contact)))
    )
    SELECT form_id, session, revision, status, waits_since, true AS is_new, CAST(NULL AS bytea) AS data FROM kept
""")

_STANDS: Final = sql("""
    SELECT p.form_id, p.session, p.revision, p.status, p.waits_since, false AS is_new, p.data
      FROM form_partials p JOIN forms f ON f.tenant_id = :tenant AND f.id = p.form_id AND f.deleted_at IS NULL
     WHERE p.tenant_id = :tenant
       AND (p.form_id, p.session) IN (SELECT * FROM unnest(CAST(:forms AS text[]), CAST(:sessions AS text[])))
""")

_KEY: Final = "tenant_id = :tenant AND form_id = CAST(:form AS text) AND session = CAST(:session AS text)"

_VIEW: Final = sql(f"SELECT * FROM form_partials WHERE {_KEY}")  # noqa: S608 - ours

_LOOK: Final = sql("""
    SELECT p.*, f.definition->'partials' AS rules, f.definition->'on_submit'->'notifications' AS notifications
      FROM form_partials p
      LEFT JOIN forms f ON f.tenant_id = p.tenant_id AND f.id = p.form_id AND f.deleted_at IS NULL
     WHERE p.tenant_id = :tenant AND p.form_id = CAST(:form AS text) AND p.session = CAST(:session AS text)
""")

# A submission that converts the partial, or a change, at this very moment: whoever has the row first, wins.
_ABANDON: Final = sql(f"""
    UPDATE form_partials SET status = 'abandoned', abandoned_at = :now, abandonments = abandonments + 1
     WHERE {_KEY} AND status = 'open' AND revision = CAST(:revision AS bigint) AND updated_at <= :until
""")  # noqa: S608 - ours

_AS_SEEN: Final = """
    (revision = CAST(:revision AS bigint) AND status = :status AND abandonments = CAST(:abandonments AS int))
"""
_TOLD: Final = sql(f"""
    UPDATE form_partials
       SET told_revision = greatest(told_revision, CAST(:revision AS bigint)),
           told_abandonments = greatest(told_abandonments, CAST(:abandonments AS int)),
           waits_since = CASE WHEN NOT {_AS_SEEN} THEN waits_since END,
           due_at = CASE WHEN {_AS_SEEN} THEN CAST(:due AS timestamptz) ELSE due_at END
     WHERE {_KEY}
    RETURNING {_AS_SEEN} AS is_still_so
""")  # noqa: S608 - ours

# Of a spam submission's partial nothing is told any more. The row stays, so that no revision begins the form anew.
_SET_ASIDE: Final = sql("""
    INSERT INTO form_partials AS p (tenant_id, form_id, session, revision, status, submission_id, created_at,
                                    updated_at)
    VALUES (:tenant, CAST(:form AS text), CAST(:session AS text), 0, 'spam', CAST(:submission AS text), :now, :now)
    ON CONFLICT (tenant_id, form_id, session) DO UPDATE
       SET status = 'spam', submission_id = excluded.submission_id, waits_since = NULL, due_at = NULL
     WHERE p.status <> 'converted'
""")

# What was abandoned and has not been told yet is still to be told; nothing else is, of what has been sent.
_CONVERT: Final = sql("""
    INSERT INTO form_partials AS p (tenant_id, form_id, session, revision, status, submission_id, converted_at,
                                    created_at, updated_at)
    VALUES (:tenant, CAST(:form AS text), CAST(:session AS text), 0, 'converted', CAST(:submission AS text), :now,
            :now, :now)
    ON CONFLICT (tenant_id, form_id, session) DO UPDATE
       SET status = 'converted', submission_id = excluded.submission_id, converted_at = excluded.converted_at,
           waits_since = CASE WHEN p.told_abandonments < p.abandonments THEN coalesce(p.waits_since, :now) END,
           due_at = NULL
     WHERE p.status <> 'converted'
    RETURNING revision, contact, abandonments, xmax = 0 AS unknown
""")

_FORGOTTEN: Final = sql("""
    SELECT tenant_id, form_id, session FROM form_partials
     WHERE (waits_since < CAST(:unseen AS timestamptz)
            AND (touched_at IS NULL OR touched_at < waits_since OR touched_at < :until))
        OR (due_at < :until AND (touched_at IS NULL OR touched_at < :until))
     LIMIT CAST(:limit AS int)
""")

_TOUCH: Final = sql("""
    UPDATE form_partials SET touched_at = :now
     WHERE (tenant_id, form_id, session) IN (
       SELECT * FROM unnest(CAST(:tenants AS text[]), CAST(:forms AS text[]), CAST(:sessions AS text[])))
""")

_IN_DOUBT: Final = "the database did not answer: the revision may be stored all the same; it is safe to send it again"


class PartialKey(NamedTuple):
    tenant: str
    form: str
    session: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialDraft:
    """A revision as it came, checked."""

    form: str
    session: str
    revision: int
    data: dict[str, Any]
    contact: str | None = None
    is_spam: bool = False
    """Whether the form's honeypot was filled in."""


@dataclass(frozen=True, slots=True)
class SavedPartial:
    """How a partial stands after a revision came. `wakes`: its workflow has to hear of it."""

    status: PartialStatus
    revision: int
    wakes: bool
    stored: bool
    """Whether what is kept is what came: another tab may have used the same number before."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A partial that has just become a submission."""

    revision: int
    contact: str | None
    abandonments: int

    @property
    def is_recovered(self) -> bool:
        """Whether the visitor had left it, and came back."""
        return self.abandonments > 0


class SqlPartials:
    """`hermod.ports.forms.partials.Partials`, the visitors' revisions, and the sweeper's look for forgotten ones."""

    def __init__(self, database: Database, contents: Contents, tokens: ResumeTokens) -> None:
        self._database = database
        self._contents = contents
        self._tokens = tokens

    async def save(self, tenant: str, drafts: Sequence[PartialDraft], now: datetime) -> list[SavedPartial | None]:
        """Keep revisions that are higher than what is there; how each partial stands, or None: no such form.

        Durable when it returns. Raises Unavailable, with nothing stored, and MaybeStored where the database went away
        and stayed away.
        """
        seal = await self._contents.sealing(tenant)
        newest = _newest(drafts)
        columns = {
            "tenant": tenant,
            "forms": [draft.form for draft in newest],
            "sessions": [draft.session for draft in newest],
        }
        values = {
            "now": now,
            "revisions": [draft.revision for draft in newest],
            "bodies": [seal(_sealed_as(draft.form, draft.session), orjson.dumps(draft.data)) for draft in newest],
            "contacts": [draft.contact for draft in newest],
            "states": [(PartialStatus.SPAM if draft.is_spam else PartialStatus.OPEN).value for draft in newest],
        }
        rows = await self._database.idempotent(
            lambda connection: _saved(connection, columns, values), in_doubt=_IN_DOUBT
        )
        unseal = await self._contents.opening(tenant)
        sent = {(draft.form, draft.session): draft.data for draft in newest}
        found = {}
        for row in rows:
            place = (row.form_id, row.session)
            found[place] = row, sent[place] if row.is_new else _kept(row, unseal)
        return [_answer(found.get((draft.form, draft.session)), draft, now) for draft in drafts]

    async def view(self, tenant: str, form: str, session: str) -> PartialView:
        """Raises NotFound."""
        rows = await self._database.rows(_VIEW, {"tenant": tenant, "form": form, "session": session})
        if not rows:
            raise NotFound(f"there is no partial of session {session} at form {form}")
        (row,) = rows
        return PartialView(
            form=form,
            session=session,
            status=row.status,
            revision=row.revision,
            data=await self._data(tenant, row),
            contact=row.contact,
            submission=row.submission_id,
            created_at=row.created_at,
            updated_at=row.updated_at,
            abandoned_at=row.abandoned_at,
            converted_at=row.converted_at,
        )

    async def look(self, tenant: str, form: str, session: str, now: datetime) -> PartialSnapshot | None:
        names = {"tenant": tenant, "form": form, "session": session}
        seen = await self._seen(names)
        if seen is None or seen.due_at is None or seen.due_at > now:
            return seen
        until = now - (seen.due_at - seen.updated_at)
        await self._database.execute(_ABANDON, names | {"revision": seen.revision, "until": until, "now": now})
        return await self._seen(names)

    async def told(self, seen: PartialSnapshot) -> bool:
        names = {"tenant": seen.tenant, "form": seen.form, "session": seen.session, "status": seen.status.value}
        told = {"revision": seen.revision, "abandonments": seen.abandonments, "due": seen.due_at}
        rows = await self._database.rows(_TOLD, names | told)
        return all(row.is_still_so for row in rows)

    async def forgotten(self, now: datetime, *, unseen: timedelta, still: timedelta, limit: int) -> list[PartialKey]:
        """Partials of all tenants that nobody may be looking at: changed longer ago than `unseen`, or due for longer
        than `still`. Those that were woken are not found again before `still` has passed, unless they change.
        """
        names = {"unseen": now - unseen, "until": now - still, "limit": limit}
        return [PartialKey._make(row) for row in await self._database.rows(_FORGOTTEN, names)]

    async def touch(self, keys: Sequence[PartialKey], now: datetime) -> None:
        """Their workflows have been woken."""
        names = {
            "tenants": [key.tenant for key in keys],
            "forms": [key.form for key in keys],
            "sessions": [key.session for key in keys],
        }
        await self._database.execute(_TOUCH, names | {"now": now})

    async def _seen(self, names: dict[str, str]) -> PartialSnapshot | None:
        rows = await self._database.rows(_LOOK, names)
        if not rows:
            return None
        (row,) = rows
        tenant, form, session = names["tenant"], names["form"], names["session"]
        notifications = [FormNotification.model_validate(one) for one in row.notifications or ()]
        return PartialSnapshot(
            tenant=tenant,
            form=form,
            session=session,
            revision=row.revision,
            status=PartialStatus(row.status),
            data=await self._data(tenant, row),
            contact=row.contact,
            updated_at=row.updated_at,
            abandoned_at=row.abandoned_at,
            abandonments=row.abandonments,
            is_new=row.told_revision is None or row.told_revision < row.revision,
            abandonment_is_new=row.told_abandonments < row.abandonments,
            rules=PartialRules.model_validate(row.rules or {}),
            notifications=tuple(one for one in notifications if one.on is FormMoment.ABANDONED),
            resume_token=self._tokens.token(tenant, form, session),
        )

    async def _data(self, tenant: str, row: Row[Any]) -> dict[str, Any] | None:
        return _kept(row, await self._contents.opening(tenant)) if row.data is not None else None


async def _saved(
    connection: AsyncConnection, columns: Mapping[str, Sequence[str] | str], values: Mapping[str, Any]
) -> list[Row[Any]]:
    rows = list(await connection.execute(_SAVE, {**columns, **values}))
    if len(rows) < len(columns["forms"]):
        kept = {(row.form_id, row.session) for row in rows}
        others = await connection.execute(_STANDS, columns)
        rows += [row for row in others if (row.form_id, row.session) not in kept]
    return rows


def _kept(row: Row[Any], unseal: Callable[[str, bytes], bytes]) -> dict[str, Any] | None:
    """What is stored; None where it was dropped, or cannot be read. Raises Unavailable."""
    if row.data is None:
        return None
    name = _sealed_as(row.form_id, row.session)

    def read() -> dict[str, Any]:
        data: dict[str, Any] = orjson.loads(unseal(name, row.data))
        return data

    return or_none("partial", name, read)


def _answer(
    found: tuple[Row[Any], dict[str, Any] | None] | None, draft: PartialDraft, now: datetime
) -> SavedPartial | None:
    if found is None:
        return None
    row, data = found
    return SavedPartial(
        status=PartialStatus(row.status),
        revision=row.revision,
        wakes=row.waits_since == now,
        stored=row.revision == draft.revision and data == draft.data,
    )


async def convert(
    connection: AsyncConnection, tenant: str, form: str, session: str, submission: str, now: datetime
) -> Conversion | None:
    """The session's partial has become a submission, within the connection's transaction.

    From then on no revision changes it, and it is never abandoned. None where there was nothing to convert: there was
    no partial, or another submission converted it before. Where there was none, one is left behind that is converted
    already, so that a revision that was on its way meanwhile does not begin a form that has been sent.
    """
    names = {"tenant": tenant, "form": form, "session": session, "submission": submission, "now": now}
    row = (await connection.execute(_CONVERT, names)).one_or_none()
    if row is None or row.unknown:
        return None
    conversion = Conversion(row.revision, row.contact, row.abandonments)
    if conversion.is_recovered:
        detail = {"submission": submission, "abandonments": conversion.abandonments}
        step = Step(
            at=now,
            kind="form.recovered",
            session=session,
            contact=conversion.contact,
            form=form,
            reference=session,
            detail=detail,
        )
        await note(connection, tenant, [step])
    return conversion


async def set_aside(
    connection: AsyncConnection, tenant: str, form: str, session: str, submission: str, now: datetime
) -> None:
    """The session's submission was caught as spam, within the connection's transaction: nothing comes of its partial,
    unless another submission converts it.
    """
    names = {"tenant": tenant, "form": form, "session": session, "submission": submission, "now": now}
    await connection.execute(_SET_ASIDE, names)


def _newest(drafts: Sequence[PartialDraft]) -> list[PartialDraft]:
    """One draft for each partial: the highest revision, with the contact that is left when all of them come in turn."""
    newest: dict[tuple[str, str], PartialDraft] = {}
    for draft in sorted(drafts, key=lambda one: one.revision):
        before = newest.get((draft.form, draft.session))
        if before is None or draft.revision > before.revision:
            contact = draft.contact or (before.contact if before else None)
            newest[draft.form, draft.session] = replace(draft, contact=contact)
    return list(newest.values())


def _sealed_as(form: str, session: str) -> str:
    """What the contents of a partial are bound to."""
    return f"partial/{form}/{session}"
