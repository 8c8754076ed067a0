"""A worker that lives is taken for gone by nobody, whatever becomes of the connection that holds its lock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import text

from hermod.storage.database.engine import Database
from hermod.storage.operations.workers import GRACE, Workers
from tests.support.polling import eventually
from tests.support.proxies.postgres_proxy import PostgresProxy

_SEEN_AT = text("SELECT seen_at, clock_timestamp() AS now FROM workers WHERE number = :number")


@asynccontextmanager
async def opened(url: str, timeout: float = 10.0) -> AsyncIterator[Database]:
    database = Database(url, timeout=timeout)
    try:
        yield database
    finally:
        await database.close()


async def test_connection_goes_silent_the_worker_is_seen_before_its_lock_is_free(
    database_url: str, database_proxy: PostgresProxy
) -> None:
    by_way = database_proxy.through(database_url)
    async with opened(database_url) as others, opened(by_way, timeout=0.5) as own, Workers(own).session() as number:

        async def seen() -> tuple[datetime, datetime]:
            (row,) = await others.rows(_SEEN_AT, {"number": number})
            return row.seen_at, row.now

        _, frozen_at = await seen()
        database_proxy.freeze()
        missed = 0

        async def seen_long_after() -> bool:
            nonlocal missed
            at, _ = await seen()
            missed += number not in await Workers(others).living([number])
            return (at - frozen_at).total_seconds() > GRACE + 1

        await eventually(seen_long_after, every=0.2)
        assert not missed
        database_proxy.cut()
        for _ in range(5):
            assert number in await Workers(others).living([number])
