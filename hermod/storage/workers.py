"""Worker processes, as attempts name them: who is at work, and whose requests nobody will record any more.

A worker takes a number, holds the advisory lock of that number for as long as its connection lives, and writes every
second that it is there. Its death frees the lock at once; a frozen process keeps it. So an attempt without an outcome
is lost where its worker is gone (`living`), or where the request has ended by its own deadline (`attempts.ends_by`),
and in no other case: a dispatch that was given out a second time leaves it to the worker that makes it.

A connection that is cut, or a server that restarts, frees the lock of a worker that lives. Hence the seconds of grace,
in which it takes its lock again. A server that recovers from a crash lets nobody in, for as long as that takes: so a
worker that has lost its own lock takes nobody for gone until it has held it again for a while.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

from hermod.contracts.errors import Unavailable
from hermod.storage.engine import Database, sql
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
    RETURNING number
""")
_LOCK: Final = sql("SELECT pg_try_advisory_lock(CAST(:class AS int), CAST(:number AS int)) AS held")
_SEEN: Final = sql("UPDATE workers SET seen_at = clock_timestamp() WHERE number = CAST(:number AS int)")
_LEAVE: Final = sql("DELETE FROM workers WHERE number = CAST(:number AS int)")
_LIVING: Final = sql("""
    SELECT w.number FROM workers w
     WHERE w.number = ANY(CAST(:numbers AS int[]))
       AND (w.seen_at > clock_timestamp() - make_interval(secs => CAST(:grace AS float8))
            OR pg_postmaster_start_time() > clock_timestamp() - make_interval(secs => CAST(:restart_grace AS float8))
            OR EXISTS (SELECT 1 FROM pg_locks l
                        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                          AND l.classid = CAST(:class AS oid) AND l.objid = CAST(w.number AS oid)))
""")


class Workers:
    """The worker processes of one database. `number` is this process's own, where it is a worker."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.number: int | None = None
        self._judges_from = -math.inf
        """The monotonic time from which this process may take another worker for gone."""

    @asynccontextmanager
    async def session(self) -> AsyncIterator[int]:
        """Be a worker inside the context. Raises Unavailable where the database does not answer at the beginning."""
        names = {"host": socket.gethostname(), "pid": os.getpid()}
        (row,) = await self._database.rows(_ENTER, names)
        self.number = number = int(row.number)
        held = asyncio.Event()
        holding = asyncio.create_task(self._hold(number, held))
        try:
            await held.wait()
            yield number
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
            self.number, self._judges_from = None, -math.inf
            try:
                await self._database.execute(_LEAVE, {"number": number})
            except Unavailable:
                _log.warning("worker_session_not_closed", worker=number)

    async def living(self, numbers: Collection[int | None]) -> set[int]:
        """Which of these workers are there, or may be; None stands for one that nobody noted. Raises Unavailable."""
        noted = {number for number in numbers if number is not None}
        others = noted - {self.number}
        if not others or time.monotonic() < self._judges_from:
            return noted
        names = {"class": LOCK_CLASS, "grace": GRACE, "restart_grace": RESTART_GRACE, "numbers": sorted(others)}
        living = {row.number for row in await self._database.rows(_LIVING, names)}
        if time.monotonic() < self._judges_from:
            return noted
        return noted - (others - living)

    async def _hold(self, number: int, held: asyncio.Event) -> None:
        """Hold the lock, and take it again on a new connection whenever the old one is lost.

        Where the old one went silent, the server has yet to see its end, and with it the lock: the worker is seen
        meanwhile, so that there is no moment in which it seems to be gone.
        """
        while True:
            try:
                async with self._database.autocommit() as connection:
                    locked = False
                    while True:
                        if not locked:
                            answer = await connection.execute(_LOCK, {"class": LOCK_CLASS, "number": number})
                            locked = bool(answer.scalar_one())
                        await connection.execute(_SEEN, {"number": number})
                        if locked:
                            self._judges_from = min(self._judges_from, time.monotonic() + REJOIN_GRACE)
                            held.set()
                        await asyncio.sleep(SEEN_EVERY)
            except Unavailable:
                self._judges_from = math.inf
                _log.warning("worker_session_lost", worker=number)
                await asyncio.sleep(SEEN_EVERY / 2)
