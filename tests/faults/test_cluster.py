"""The cluster that faults are made in: a proxy in front of a process, and servers and processes that stand still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from devstack.cluster import Web
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Status
from tests.faults.conftest import Scene
from tests.faults.messages import behind_proxies
from tests.support.polling import eventually

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


@pytest.fixture(scope="module")
async def web(_lasting_product: Scene) -> AsyncIterator[Web]:
    started = await _lasting_product.cluster.start_web()
    yield started
    await started.child.stop(within=15)


async def test_worker_behind_proxies_sends_by_way_of_them(lasting: Scene) -> None:
    await lasting.add_sandbox_account()
    async with behind_proxies(lasting) as cut_off:
        intent = cut_off.database.hold_answer("WITH intent AS")
        receipt = await lasting.house.hermod.send(LETTER)
        await intent.fired()
        assert (await lasting.house.hermod.status(receipt.id)).status is Status.SENDING
        intent.release()
        await lasting.house.reached(receipt.id, Status.SENT)
        assert cut_off.temporal.passed["to_client"] > 0


@pytest.mark.usefixtures("lasting")
async def test_web_as_a_process_answers_and_frozen_it_does_not(web: Web) -> None:
    async with httpx.AsyncClient(base_url=web.url, timeout=30) as client:
        assert (await client.get("/health")).json()["database"]["ok"]
        web.child.freeze()
        asked = asyncio.create_task(client.get("/health"))
        done, _ = await asyncio.wait([asked], timeout=0.3)
        assert not done
        web.child.thaw()
        assert (await asked).json()["database"]["ok"]


@pytest.mark.parametrize("part", ["database", "temporal", "clickhouse"])
async def test_server_is_frozen_health_says_which_and_thawed_it_is_well(lasting: Scene, web: Web, part: str) -> None:
    cluster = lasting.cluster
    children = {
        "database": cluster.postgres.child,
        "temporal": cluster.temporal.child,
        "clickhouse": cluster.clickhouse.child,
    }
    child = children[part]
    async with httpx.AsyncClient(base_url=web.url, timeout=30) as client:

        async def answers() -> bool:
            found = (await client.get("/health")).json()
            return bool(found[part]["ok"])

        async def answers_not() -> bool:
            return not await answers()

        await eventually(answers)
        child.freeze()
        try:
            await eventually(answers_not)
        finally:
            child.thaw()
        await eventually(answers)
