"""Messages as they may stand when nobody works on them, and the sweeper's look at them an hour later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from hermod.contracts.ids import batch_id
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.delivery import SweepReport
from hermod.contracts.notifications.messages import Options, Submission
from hermod.ports.clock import Clock
from hermod.storage.notifications.acceptance import Ready
from hermod.storage.operations.orphaned_records import Limit
from starter.housekeeping.orphans import MessageWorkflows
from starter.housekeeping.sweeping import LIMIT, LedgerSweeper
from starter.notifications.grouping import Grouping
from tests.support.product import ProductFixture

HOUR: Final = timedelta(hours=1)
NOBODY: Final = 2_000_000_000
"""The number of a worker that is gone."""

_AGED: Final = text("""
    UPDATE messages SET updated_at = updated_at - interval '1 hour',
           next_attempt_at = next_attempt_at - interval '1 hour'
     WHERE tenant_id = :tenant AND id = ANY(:ids)
""")
_REQUESTED: Final = text("""
    WITH moved AS (
      UPDATE messages SET status = 'sending', attempt_count = attempt_count + 1, next_attempt_at = NULL
       WHERE tenant_id = :tenant AND id = ANY(:ids) RETURNING id, attempt_count
    )
    INSERT INTO attempts (tenant_id, message_id, number, round, account, provider, started_at, worker, ends_by)
    SELECT :tenant, id, attempt_count, 1, 'main', 'sandbox', now(), CAST(:worker AS int), now() + interval '1 day'
      FROM moved
""")


def letter(to: str = "ada@example.com") -> Email:
    return Email(to=to, subject="Hello", text="Hello")


class Later:
    """A clock that is an hour ahead of another one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now() + HOUR


async def swept(house: ProductFixture, limit: Limit = LIMIT, clock: Clock | None = None) -> SweepReport:
    """One look at the messages of all tenants. The schedule of the running product may have had its own before."""
    core = house.hermod.core
    workflows = MessageWorkflows(core.dispatcher)
    sweeper = LedgerSweeper(core.storage.orphaned_messages, workflows, core.temporal, clock or core.clock, limit=limit)
    return await sweeper.sweep()


async def accepted(house: ProductFixture, *contents: Email) -> list[str]:
    """The ids of messages that share a workflow, which nobody has started: as while Temporal is away."""
    core, tenant = house.hermod.core, house.hermod.tenant
    readies = [Ready(Submission(content=content, options=Options()), content, None) for content in contents]
    drafts = Grouping(tenant, batch_id()).drafts([(ready, None) for ready in readies])
    await core.storage.acceptance.take(tenant, drafts, core.clock.now())
    return [draft.id for draft in drafts]


async def age(house: ProductFixture, *messages: str) -> None:
    """As if nobody had touched them for an hour."""
    await _run(house, _AGED, messages)


async def begin_request(house: ProductFixture, worker: int | None, *messages: str) -> None:
    """As if that worker had a request of each under way."""
    await _run(house, _REQUESTED, messages, worker=worker)


async def put(house: ProductFixture, assignments: str, *messages: str) -> None:
    statement = f"UPDATE messages SET {assignments} WHERE tenant_id = :tenant AND id = ANY(:ids)"
    await _run(house, text(statement), messages)


async def _run(house: ProductFixture, statement: Any, messages: Sequence[str], **names: Any) -> None:
    parameters = {"tenant": house.hermod.tenant, "ids": list(messages), **names}
    await house.hermod.core.storage.database.execute(statement, parameters)
