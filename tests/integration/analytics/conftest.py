"""A database of its own for each test, in the ClickHouse that the run shares."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from devstack.servers.clickhouse import ClickHouseServer
from hermod.analytics.client import ClickHouse
from hermod.analytics.places import Server
from hermod.analytics.sink import ClickHouseSink
from tests.support.analytics.clickhouse import opened, schema_of

_numbers = itertools.count(1)


@pytest.fixture
async def empty(clickhouse: ClickHouseServer) -> AsyncIterator[ClickHouse]:
    """A client whose database is not there yet."""
    async with opened(Server(clickhouse.url), f"analytics_{next(_numbers)}") as client:
        yield client


@pytest.fixture
async def sink(empty: ClickHouse) -> ClickHouseSink:
    schema = schema_of(empty)
    await schema.prepare()
    return ClickHouseSink(empty, schema)
