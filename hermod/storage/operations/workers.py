"""Worker processes, as attempts name them: who is at work, and whose requests nobody will record any more.

A worker takes a number, holds the advisory lock of that number for as long as its connection lives, and writes every
second that it is there. Its death frees the lock at once; a frozen process keeps it. So an attempt without an outcome
is lost where its worker is gone (`living`), or where the request has ended by its own deadline (`attempts.ends_by`),
and in no other case: a dispatch that was given out a second time leaves it to the worker that makes it.

A connection that is cut, or a server that restarts, frees the lock of a worker that lives. Hence the seconds of grace,
in which it takes its lock again. A server that recovers from a crash lets nobody in, for as long as that takes: so a
worker that has lost its own lock takes nobody for gone until it has held it again for a while.

A standby that was behind as it took over may not know a worker, whose row is then put back. It may also have given the
number to somebody else: the worker takes another one. What it has under way under the old number then counts as the
other's, which is to say that it is waited for, as long as that one is there.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.storage.database.engine import Database, sql
from hermod.telemetry import get_logger

LOCK_CLASS: Final = 0x4865726D
"""The first of the two numbers of the lock; the second is the worker's."""
SEEN_EVERY: Final = 1.0
GRACE: Final = 5.0
"""Seconds. Who was seen so lately is there, even without a lock."""
RESTART_GRACE: Final = 5.0
"""Seconds after a start of PostgreSQL in which nobody is taken for gone."""
REJOIN_GRACE: Final = 15.0
"""Seconds after this worker has its lost lock again in which it takes nobody for gone: others may still be in an
attempt to connect, which lasts as long as a statement may (`HERMOD_DATABASE_TIMEOUT`)."""

_log = get_logger(__name__)

_ENTER: Final = sql("""
    INSERT INTO workers (host, pid, started_at, seen_at)
    VALUES (CAST(:host AS text), CAST(:pid AS int), clock_timestamp(), clock_timestamp())
    ON CONFLICT DO NOTHING
    RETURNING number, started_at
""")
_LOCK: Final = sql("SELECT pg_try_advisory_lock(CAST(:class AS int), CAST(:number AS int)) AS held")
_SEEN: Final = sql("""
    INSERT INTO workers AS w (number, host, pid, started_at, seen_at) OVERRIDING SYSTEM VALUE
    VALUES (CAST(:number AS int), CAST(:host AS text), CAST(:pid AS int), CAST(:started_at AS timestamptz),
            clock_timestamp())
    ON CONFLICT (number) DO UPDATE SET seen_at = excluded.seen_at
       WHERE (w.host, w.pid, w.started_at) = (excluded.host, excluded.pid, excluded.started_at)
""")
"""Touches no row where the number is another worker's."""
_LEAVE: Final = sql("""
    DELETE FROM workers
     WHERE number = CAST(:number AS int) AND host = CAST(:host AS text) AND pid = CAST(:pid AS int)
       AND started_at = CAST(:started_at AS timestamptz)
""")
HAS_LOCK: Final = f"""
    EXISTS (SELECT 1 FROM pg_locks l
             WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND l.classid = CAST({LOCK_CLASS} AS oid) AND l.objid = CAST(t.number AS oid))
"""  # noqa: S608 - ours
"""Whether somebody holds the lock of the worker `t`, as a condition."""
_LIVING: Final = sql(f"""
    SELECT t.number FROM workers t
     WHERE t.number = ANY(CAST(:numbers AS int[]))
       AND (t.seen_at > clock_timestamp() - make_interval(secs => CAST(:grace AS float8))
            OR pg_postmaster_start_time() > clock_timestamp() - make_interval(secs => CAST(:restart_grace AS float8))
            OR {HAS_LOCK})
""")  # noqa: S608 - ours


@dataclass(frozen=True, slots=True)
class _Session:
    """A row of `workers`, but for when it was seen."""

    number: int
    host: str
    pid: int
    started_at: datetime

    def names(self) -> dict[str, Any]:
        return asdict(self)


class Workers:
    """The worker processes of one database. `number` is this process's own, where it is a worker."""

    def __init__(self, database: Database, own: Database | None = None) -> None:
        """`own`: another pool, for the session alone, which then waits for nobody's connection. `aclose` closes it."""
        self._database = database
        self._own = own or database
        self._session: _Session | None = None
        self._judges_from = -math.inf
        """The monotonic time from which this process may take another worker for gone."""

    @property
    def number(self) -> int | None:
        return self._session.number if self._session is not None else None

    async def aclose(self) -> None:
        """Close the session's own connections."""
        if self._own is not self._database:
            await self._own.close()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[int]:
        """Be a worker inside the context; gives the number that it has at first.

        Raises Unavailable where the database does not answer at the beginning.
        """
        self._session = entered = await self._enter()
        held = asyncio.get_running_loop().create_future()
        holding = asyncio.create_task(self._hold(entered, held))
        try:
            await asyncio.wait([held, holding], return_when=asyncio.FIRST_COMPLETED)
            if holding.done():
                holding.result()
            yield entered.number
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
            left, self._session, self._judges_from = self._session, None, -math.inf
            try:
                await self._own.execute(_LEAVE, left.names())
            except Exception as error:  # noqa: BLE001 - whatever it is, retention takes the row away
                _log.warning("worker_session_not_closed", worker=left.number, error=_name(error))

    async def living(self, numbers: Collection[int | None]) -> set[int]:
        """Which of these workers are there, or may be; None stands for one that nobody noted. Raises Unavailable."""
        noted = {number for number in numbers if number is not None}
        others = noted - {self.number}
        if not others or time.monotonic() < self._judges_from:
            return noted
        names = {"grace": GRACE, "restart_grace": RESTART_GRACE, "numbers": sorted(others)}
        living = {row.number for row in await self._database.rows(_LIVING, names)}
        if time.monotonic() < self._judges_from:
            return noted
        return noted - (others - living)

    async def _enter(self) -> _Session:
        host, pid = socket.gethostname(), os.getpid()
        # A number that a worker has put back, on a server that does not know it was given out, is left out.
        while not (rows := await self._own.rows(_ENTER, {"host": host, "pid": pid})):
            pass
        return _Session(rows[0].number, host, pid, rows[0].started_at)

    async def _hold(self, session: _Session, held: asyncio.Future[None]) -> None:
        """Hold the lock, and take it again on a new connection whenever the old one is lost, or of no more use.

        Where the old one went silent, the server has yet to see its end, and with it the lock: the worker is seen
        meanwhile, so that there is no moment in which it seems to be gone.
        """
        while True:
            try:
                await self._stay(session, held)
                self._session = entered = await self._enter()
                _log.warning("worker_number_taken", worker=session.number, number=entered.number)
                session = entered
            except Exception as error:  # noqa: BLE001 - a worker goes on as one, so whatever it is, it is tried again
                self._judges_from = math.inf
                _log.warning("worker_session_lost", worker=session.number, error=_name(error))
                await asyncio.sleep(SEEN_EVERY / 2)

    async def _stay(self, session: _Session, held: asyncio.Future[None]) -> None:
        """Hold the lock on one connection, which goes with it: until that fails, or another worker has the number."""
        names = session.names()
        async with self._own.autocommit() as connection, _dropped(connection):
            locked = False
            while True:
                if not locked:
                    answer = await connection.execute(_LOCK, {"class": LOCK_CLASS, "number": session.number})
                    locked = bool(answer.scalar_one())
                if not (await connection.execute(_SEEN, names)).rowcount:
                    return
                if locked:
                    self._judges_from = min(self._judges_from, time.monotonic() + REJOIN_GRACE)
                    if not held.done():
                        held.set_result(None)
                await asyncio.sleep(SEEN_EVERY)


@asynccontextmanager
async def _dropped(connection: AsyncConnection) -> AsyncIterator[None]:
    """The connection does not go back to the pool: its lock would stay, and its server may have been demoted."""
    try:
        yield
    finally:
        await connection.invalidate()


def _name(error: BaseException) -> str:
    """The class of what is behind the error. Its text may hold parameters."""
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__


async def lost_requests(workers: Workers, under_way: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Of requests under way, with their `worker` and whether their own deadline is `over`, those that nobody will
    record. Raises Unavailable.
    """
    living = await workers.living({row.worker for row in under_way})
    return [row for row in under_way if row.over or row.worker not in living]
