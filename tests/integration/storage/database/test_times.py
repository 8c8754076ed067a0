"""Times as the database gives them back: always aware, whatever is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text

from hermod.storage.database.engine import Database

NEVER = datetime.max.replace(tzinfo=UTC)
FIRST = datetime.min.replace(tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.mark.parametrize(
    "at",
    [
        NEVER,
        FIRST,
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2030, 5, 1, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    ],
)
async def test_time_at_the_edge_comes_back_as_it_went(database: Database, at: datetime) -> None:
    statement = text("SELECT CAST(:at AS timestamptz) AS at, (CAST(:many AS timestamptz[]))[1] AS first")
    (row,) = await database.rows(statement, {"at": at, "many": [at]})
    assert (row.at, row.first) == (at, at)
    assert row.at.tzinfo is not None


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("infinity", NEVER),
        ("-infinity", FIRST),
        ("20000-01-01 00:00:00+00", NEVER),
        ("0044-03-15 00:00:00+00 BC", FIRST),
    ],
)
async def test_time_beyond_the_calendar_is_its_first_or_last_moment(
    database: Database, stored: str, read: datetime
) -> None:
    (row,) = await database.rows(text(f"SELECT timestamptz '{stored}' AS at"), {})
    assert row.at == read
