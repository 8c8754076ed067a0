"""Activities that fail again and again, with the workflow that each belongs to; forgotten a day after the last time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hermod.storage.database.engine import Database, sql

KEPT: Final = timedelta(days=1)
FAILS_STILL: Final = timedelta(minutes=15)
"""Retries are nearer to each other than this."""

_NOTE: Final = sql("""
    WITH old AS (
      DELETE FROM activity_failures WHERE last_at < CAST(:before AS timestamptz)
    )
    INSERT INTO activity_failures (workflow_id, activity, error, attempts, first_at, last_at)
    VALUES (CAST(:workflow AS text), CAST(:activity AS text), CAST(:error AS text), CAST(:attempts AS int), :now, :now)
    ON CONFLICT (workflow_id, activity) DO UPDATE
       SET error = excluded.error, attempts = excluded.attempts, last_at = excluded.last_at
""")

_NOW: Final = sql("""
    SELECT activity, error, count(*) AS workflows, max(attempts) AS attempts,
           (array_agg(workflow_id ORDER BY attempts DESC))[1] AS example
      FROM activity_failures WHERE last_at > CAST(:since AS timestamptz)
     GROUP BY activity, error ORDER BY workflows DESC, activity, error LIMIT 10
""")


@dataclass(frozen=True, slots=True)
class Failing:
    """An activity and its class of error: in how many workflows, and one of them."""

    activity: str
    error: str
    workflows: int
    attempts: int
    """The most in one workflow."""
    example: str


class SqlFailingActivities:
    """Implements `hermod.ports.failing.FailingActivities`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, workflow: str, activity: str, error: str, attempts: int, now: datetime) -> None:
        names = {"workflow": workflow, "activity": activity, "error": error, "attempts": attempts}
        await self._database.execute(_NOTE, names | {"now": now, "before": now - KEPT})

    async def now(self, now: datetime) -> list[Failing]:
        """What fails at the moment, the most frequent first."""
        rows = await self._database.rows(_NOW, {"since": now - FAILS_STILL})
        return [Failing(row.activity, row.error, row.workflows, row.attempts, row.example) for row in rows]
