"""What stands still is seen: by `/health`, by `/metrics`, and with what helps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from devstack.servers.ports import LOOPBACK, free_port
from hermod.contracts.queues import Lane
from starter import Hermod
from starter.process.backlog import BacklogWatch
from tests.integration.api.conftest import EMAIL, SMS, Api, calling, new_api
from tests.support.polling import eventually
from tests.support.product import ProductFixture, settings_for, working_on
from web.app import create_app


@pytest.fixture
async def impatient(house: ProductFixture) -> AsyncIterator[Api]:
    """The running product, which is degraded where something waits for a minute."""
    core = house.hermod.core
    process = Hermod(replace(core, backlog=BacklogWatch(core.storage.backlog, core.clock, 60.0)), "default", "web")
    app = create_app(core.settings, hermod=process)
    async with calling(app) as client:
        yield await new_api(process, app, client)


async def gauges(client: httpx.AsyncClient, name: str) -> dict[str, float]:
    """A gauge by its labels, as `/metrics` has them."""
    lines = [line for line in (await client.get("/metrics")).text.splitlines() if line.startswith(name + "{")]
    return {labels.removeprefix(name): float(value) for labels, value in (line.rsplit(" ", 1) for line in lines)}


async def test_message_stands_still_health_is_degraded_and_the_gauges_say_where(impatient: Api) -> None:
    """Its workflow is said to exist, and nobody begins it."""
    message, database = "msg_still", impatient.hermod.core.storage.database
    names = {"tenant": impatient.tenant, "id": message}
    stuck = text("""
        INSERT INTO messages (tenant_id, id, channel, status, recipient, category, guarantee, preset, priority,
                              workflow_id, metadata, created_at)
        VALUES (:tenant, :id, 'whatsapp', 'queued', '+14155550100', 'transactional', 'at_least_once', 'sms', 5,
                'message/shop/still', '{}', now() - interval '1 hour')
    """)
    await database.execute(stuck, names)
    try:

        async def found() -> dict[str, Any]:
            response = await impatient.client.get("/health")
            assert response.status_code == 200, response.text
            report: dict[str, Any] = response.json()
            return report

        report = await eventually(found)
        assert (report["status"], report["workers"]["ok"]) == ("degraded", True)
        # Other tests may have left some.
        assert report["backlog"]["by_lane"]["whatsapp"]["records"] >= 1
        assert set(report["backlog"]["by_lane"]) == set(Lane)
        assert report["backlog"]["oldest_seconds"] >= 3600
        assert (await gauges(impatient.client, "hermod_backlog_records"))['{lane="whatsapp"}'] >= 1
        oldest = await gauges(impatient.client, "hermod_backlog_oldest_seconds")
        assert oldest.keys() == {f'{{lane="{lane}"}}' for lane in Lane}
        assert oldest['{lane="whatsapp"}'] >= 3600
    finally:
        await database.execute(text("DELETE FROM messages WHERE tenant_id = :tenant AND id = :id"), names)


async def test_database_goes_away_the_backlog_is_not_known() -> None:
    url = f"postgresql://nobody:nothing@{LOOPBACK}:{free_port()}/nowhere"
    app = create_app(settings_for(url, f"{LOOPBACK}:{free_port()}"))
    async with app.router.lifespan_context(app), calling(app) as client:
        report = (await client.get("/health")).json()
        assert (report["status"], report["backlog"]) == ("down", None)
        assert await gauges(client, "hermod_backlog_records") == {}


async def test_lane_has_work_and_nobody_at_it_health_is_degraded_and_names_it(
    database_url: str, idle_temporal: str
) -> None:
    settings = settings_for(database_url, idle_temporal)
    async with await Hermod.connect(settings=settings) as process:
        app = create_app(settings, hermod=process)
        async with calling(app) as client, working_on(process, idle_temporal, [Lane.EMAIL]):
            api = await new_api(process, app, client)
            assert (await api.send(EMAIL)).status_code == 202
            assert (await api.send(SMS)).status_code == 202

            async def told() -> dict[str, Any]:
                report: dict[str, Any] = (await client.get("/health")).json()
                assert report["workers"]["ok"], report
                assert report["backlog"]["by_lane"]["sms"]["records"] == 1, report
                return report

            report = await eventually(told)
            part = await client.get("/api/v1/workers/health")
    # What analytics is to hear of them waits as well, sooner or later.
    unserved = report["unserved"]
    assert report["status"] == "degraded"
    assert unserved in (["sms"], ["sms", "events"])
    detail = report["workers"]["detail"]
    assert detail.startswith("1 at work, nobody on sms, ")
    assert "email" not in detail
    names, command = ", ".join(unserved), f"start one: `python worker.py --lanes {','.join(unserved)}`"
    assert detail.endswith(f"; work waits on {names}: {command}")
    assert (part.status_code, part.json()["status"]) == (503, "degraded")
    assert "work waits on sms" in part.json()["detail"]
