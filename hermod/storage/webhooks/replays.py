"""Replays: deliveries of one endpoint that ended, begun again page by page.

A page is one transaction: it locks the replay, reopens the deliveries that match after its cursor, and moves the
cursor. So each delivery is looked at once by each replay, whoever is killed in between; what was reopened and has no
workflow yet is pending, and the sweeper starts it. What is open by then is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.errors import Conflict, NotFound
from hermod.contracts.ids import new_id, replay_workflow, since
from hermod.contracts.webhooks.deliveries import OPEN_DELIVERIES, ReplayInput, ReplayPage, ReplayStatus, ReplayView
from hermod.contracts.webhooks.steps import ReplayStep
from hermod.domain.rates import countable
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import page_of
from hermod.storage.secrets.contents import Contents
from hermod.storage.webhooks.reopening import AFRESH, with_event
from hermod.storage.webhooks.replay_matches import MATCHING, MOST_PAYLOADS, Unseal, count, filter_of, look

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""There are no deliveries from before."""
SLACK: Final = timedelta(hours=1)
"""How far the clock that made an id may be from the one that dated the delivery."""

_STILL_MATCHING: Final = """
    CASE WHEN id IS NOT NULL THEN status = ANY(CAST(:statuses AS text[])) AND discarded_at IS NULL END
"""
"""What may have changed by the time that a delivery is locked. In CASE, about which the planner has no opinion."""

_PAGE: Final = sql(f"""
    WITH page AS MATERIALIZED (
      SELECT d.id FROM webhook_deliveries d
       WHERE {MATCHING} AND (CAST(:only AS text[]) IS NULL OR d.id = ANY(CAST(:only AS text[])))
       ORDER BY d.id LIMIT CAST(:most AS int)
    ), {with_event(f"id = ANY(ARRAY(SELECT id FROM page)) AND {_STILL_MATCHING}")}, begun AS (
      UPDATE webhook_deliveries d SET {AFRESH}, updated_at = :now
       WHERE d.tenant_id = :tenant AND d.id = ANY(ARRAY(SELECT id FROM kept)) AND {_STILL_MATCHING}
      RETURNING d.id, d.order_key
    )
    SELECT page.id, begun.id IS NOT NULL AS begun, begun.order_key
      FROM page LEFT JOIN begun ON begun.id = page.id ORDER BY page.id
""")  # noqa: S608

_ENDPOINT: Final = sql("""
    SELECT id, enabled, filter::text AS filter FROM webhook_endpoints
     WHERE tenant_id = :tenant AND id = CAST(:endpoint AS text) AND deleted_at IS NULL
""")
_LOCK_ENDPOINT: Final = sql(f"{_ENDPOINT.text} FOR NO KEY UPDATE")

_SAME: Final = sql("""
    SELECT * FROM webhook_replays
     WHERE tenant_id = :tenant AND endpoint_id = CAST(:endpoint AS text) AND finished_at IS NULL
       AND filter -> 'asked' = CAST(:asked AS jsonb)
     ORDER BY id LIMIT 1
""")

_CREATE: Final = sql("""
    WITH made AS (
      INSERT INTO webhook_replays (tenant_id, id, endpoint_id, filter, per_second, status, matching, cursor,
                                   workflow_id, created_at, updated_at)
      VALUES (:tenant, :id, CAST(:endpoint AS text), CAST(:filter AS jsonb), CAST(:per_second AS float8), 'running',
              CAST(:matching AS int), CAST(:cursor AS text), CAST(:workflow AS text), :now, :now)
      RETURNING *
    ), audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject, detail)
      SELECT :tenant, :now, :actor, 'webhook_replay.start', :id, CAST(:filter AS jsonb)
    )
    SELECT * FROM made
""")

_VIEW: Final = sql("SELECT * FROM webhook_replays WHERE tenant_id = :tenant AND id = :id")
_LOCK: Final = sql(f"{_VIEW.text} FOR UPDATE")
_LIST: Final = sql("""
    SELECT * FROM webhook_replays
     WHERE tenant_id = :tenant
       AND (CAST(:endpoint AS text) IS NULL OR endpoint_id = CAST(:endpoint AS text))
       AND (CAST(:status AS text) IS NULL OR status = CAST(:status AS text))
       AND (CAST(:cursor AS text) IS NULL OR id < CAST(:cursor AS text))
     ORDER BY id DESC LIMIT CAST(:limit AS int)
""")

_MOVE: Final = sql("""
    WITH moved AS (
      UPDATE webhook_replays SET status = :status, updated_at = :now,
             finished_at = CASE WHEN :status IN ('done', 'cancelled') THEN CAST(:now AS timestamptz) END
       WHERE tenant_id = :tenant AND id = :id
      RETURNING *
    ), audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject)
      SELECT :tenant, :now, :actor, 'webhook_replay.' || :status, :id FROM moved
    )
    SELECT * FROM moved
""")

_ADVANCE: Final = sql("""
    UPDATE webhook_replays
       SET begun = begun + CAST(:begun AS int), cursor = CAST(:cursor AS text), updated_at = :now, status = :status,
           finished_at = CASE WHEN :status = 'done' THEN CAST(:now AS timestamptz) END
     WHERE tenant_id = :tenant AND id = :id
    RETURNING *
""")

_STILL: Final = sql("""
    UPDATE webhook_replays SET updated_at = :now
     WHERE finished_at IS NULL AND status = 'running' AND updated_at < :until
       AND (tenant_id, id) IN (
         SELECT tenant_id, id FROM webhook_replays
          WHERE finished_at IS NULL AND status = 'running' AND updated_at < :until
          ORDER BY updated_at LIMIT CAST(:limit AS int)
       )
    RETURNING tenant_id, id
""")


@dataclass(frozen=True, slots=True)
class Begun:
    """A page's outcome: the step, and the deliveries that need a workflow now, with the ordering keys' fingerprints."""

    step: ReplayStep
    endpoint: str
    deliveries: tuple[tuple[str, str | None], ...] = ()


class WebhookReplays:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def count(self, tenant: str, endpoint: str, asked: ReplayInput, now: datetime) -> int:
        """How many deliveries a replay would send again. Raises NotFound."""
        unseal = await self._contents.opening(tenant)
        async with self._database.autocommit(changes=False) as connection:
            known = await _known(connection, tenant, endpoint)
            return await count(connection, _names(tenant, endpoint, asked, now), filter_of(known), unseal)

    async def start(self, tenant: str, endpoint: str, asked: ReplayInput, *, actor: str, now: datetime) -> ReplayView:
        """Store a replay; its workflow is the caller's to start. One that asks for the same and is under way is
        answered instead of a second. Raises NotFound, and Conflict where the endpoint is disabled.
        """
        replay = new_id("rpl")
        given = _asked(asked)
        names = _names(tenant, endpoint, asked, now)
        unseal = await self._contents.opening(tenant)
        async with self._database.begin() as connection:
            known = await _known(connection, tenant, endpoint, lock=True)
            if not known.enabled:
                raise Conflict("the endpoint is disabled; enable it first, then replay what it missed")
            same = {"tenant": tenant, "endpoint": endpoint, "asked": given}
            found = (await connection.execute(_SAME, same)).one_or_none()
            if found is not None:
                return _view(found)
            matching = await count(connection, names, filter_of(known), unseal)
            frozen = {"asked": orjson.loads(given), "until": names["until"].isoformat()}
            row = await connection.execute(
                _CREATE,
                {
                    "tenant": tenant,
                    "id": replay,
                    "endpoint": endpoint,
                    "filter": orjson.dumps(frozen).decode(),
                    "per_second": asked.per_second,
                    "matching": matching,
                    "cursor": names["cursor"],
                    "workflow": replay_workflow(tenant, replay),
                    "actor": actor,
                    "now": now,
                },
            )
            return _view(row.one())

    async def view(self, tenant: str, replay: str) -> ReplayView:
        """Raises NotFound."""
        rows = await self._database.rows(_VIEW, {"tenant": tenant, "id": replay})
        if not rows:
            raise NotFound(f"there is no replay {replay}")
        return _view(rows[0])

    async def listed(
        self, tenant: str, *, endpoint: str | None, status: ReplayStatus | None, cursor: str | None, limit: int
    ) -> ReplayPage:
        """Newest first."""
        names = {"tenant": tenant, "endpoint": endpoint, "status": status, "cursor": cursor, "limit": limit + 1}
        rows = await self._database.rows(_LIST, names)
        items, next_cursor = page_of("replay", rows, limit, _view)
        return ReplayPage(items=items, next_cursor=next_cursor)

    async def move(self, tenant: str, replay: str, wanted: ReplayStatus, *, actor: str, now: datetime) -> ReplayView:
        """Pause, resume or cancel. Raises NotFound, and Conflict where it has ended or its endpoint is disabled."""
        async with self._database.begin() as connection:
            row = (await connection.execute(_LOCK, {"tenant": tenant, "id": replay})).one_or_none()
            if row is None:
                raise NotFound(f"there is no replay {replay}")
            if row.finished_at is not None and row.status != wanted:
                raise Conflict(f"the replay is {row.status}; only one that is under way can be changed")
            if wanted is ReplayStatus.RUNNING and not await _enabled(connection, tenant, row.endpoint_id):
                raise Conflict("the endpoint is disabled; enable it first")
            return _view(await _moved(connection, row, wanted, actor, now))

    async def page(self, tenant: str, replay: str, wanted: ReplayStatus | None, now: datetime) -> Begun:
        """Take in what was wanted through Temporal, then begin the next page where the replay runs.

        A replay whose endpoint was disabled in the meantime pauses, one whose endpoint was deleted is cancelled.
        """
        unseal = await self._contents.opening(tenant)
        async with self._database.begin() as connection:
            row = (await connection.execute(_LOCK, {"tenant": tenant, "id": replay})).one_or_none()
            if row is None:
                return Begun(ReplayStep(status=ReplayStatus.CANCELLED, begun=0, matching=0), "")
            if wanted is not None and row.finished_at is None:
                row = await _moved(connection, row, wanted, "temporal", now)
            if row.status == ReplayStatus.RUNNING:
                row = await _held_by_endpoint(connection, row, now)
            if row.status != ReplayStatus.RUNNING:
                return Begun(_step(row, 0.0), row.endpoint_id)
            return await _begin(connection, row, unseal, now)

    async def still(self, now: datetime, *, older_than: timedelta, limit: int) -> Sequence[tuple[str, str]]:
        """Running replays that nobody moved for so long, as (tenant, replay); not named again for as long."""
        rows = await self._database.rows(_STILL, {"now": now, "until": now - older_than, "limit": limit})
        return [(row.tenant_id, row.id) for row in rows]


async def _begin(connection: AsyncConnection, row: Row[Any], unseal: Unseal, now: datetime) -> Begun:
    asked = ReplayInput.model_validate(row.filter["asked"] | {"until": row.filter["until"]})
    holds = filter_of(await _known(connection, row.tenant_id, row.endpoint_id))
    most = max(1, round(row.per_second))
    names = _names(row.tenant_id, row.endpoint_id, asked, now) | {"cursor": row.cursor, "most": most, "only": None}
    looked: list[str] | None = None
    if holds is not None:
        names["most"] = most = min(most, MOST_PAYLOADS)
        verdicts = await look(connection, names, holds, unseal)
        looked = list(verdicts)
        names["only"] = [delivery for delivery, wanted in verdicts.items() if wanted]
    page = (await connection.execute(_PAGE, names)).all()
    begun = [(one.id, one.order_key) for one in page if one.begun]
    passed = [one.id for one in page] if looked is None else looked
    moved = {
        "tenant": row.tenant_id,
        "id": row.id,
        "begun": len(begun),
        "cursor": passed[-1] if passed else row.cursor,
        "status": (ReplayStatus.RUNNING if len(passed) == most else ReplayStatus.DONE).value,
        "now": now,
    }
    row = (await connection.execute(_ADVANCE, moved)).one()
    return Begun(_step(row, len(begun) / countable(row.per_second)), row.endpoint_id, tuple(begun))


async def _held_by_endpoint(connection: AsyncConnection, row: Row[Any], now: datetime) -> Row[Any]:
    try:
        if await _enabled(connection, row.tenant_id, row.endpoint_id):
            return row
    except NotFound:
        return await _moved(connection, row, ReplayStatus.CANCELLED, "hermod", now)
    return await _moved(connection, row, ReplayStatus.PAUSED, "hermod", now)


async def _moved(
    connection: AsyncConnection, row: Row[Any], wanted: ReplayStatus, actor: str, now: datetime
) -> Row[Any]:
    if row.status == wanted:
        return row
    names = {"tenant": row.tenant_id, "id": row.id, "status": wanted.value, "actor": actor, "now": now}
    return (await connection.execute(_MOVE, names)).one()


async def _enabled(connection: AsyncConnection, tenant: str, endpoint: str) -> bool:
    """Raises NotFound."""
    return bool((await _known(connection, tenant, endpoint)).enabled)


async def _known(connection: AsyncConnection, tenant: str, endpoint: str, *, lock: bool = False) -> Row[Any]:
    """Its `id`, `enabled` and `filter`. Raises NotFound."""
    statement = _LOCK_ENDPOINT if lock else _ENDPOINT
    row = (await connection.execute(statement, {"tenant": tenant, "endpoint": endpoint})).one_or_none()
    if row is None:
        raise NotFound(f"there is no webhook endpoint {endpoint}")
    return row


def _asked(asked: ReplayInput) -> str:
    """What was asked for, in one spelling, so that the same is seen to be the same."""
    given = asked.model_dump(mode="json", include={"since", "until"})
    given["types"] = sorted(set(asked.types))
    given["status"] = sorted({status.value for status in asked.status})
    return orjson.dumps(given).decode()


def _names(tenant: str, endpoint: str, asked: ReplayInput, now: datetime) -> dict[str, Any]:
    """A replay covers what was accepted before it began, and never what is open."""
    return {
        "tenant": tenant,
        "endpoint": endpoint,
        "since": asked.since,
        "until": min(asked.until or now, now),
        "cursor": since("whd", max(asked.since, EARLIEST) - SLACK),
        "types": list(asked.types),
        "statuses": [status.value for status in asked.status if status not in OPEN_DELIVERIES],
        "now": now,
    }


def _step(row: Row[Any], seconds: float) -> ReplayStep:
    return ReplayStep(status=row.status, begun=row.begun, matching=row.matching, seconds=seconds)


def _view(row: Row[Any]) -> ReplayView:
    return ReplayView(
        id=row.id,
        endpoint_id=row.endpoint_id,
        status=row.status,
        matching=row.matching,
        begun=row.begun,
        per_second=row.per_second,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
