"""Deliveries and replays on the command line; Temporal is away, so that what is stored can be looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hermod.contracts.webhooks.deliveries import DeliveryStatus
from tests.integration.cli.conftest import Cli
from tests.support.webhooks.rows import WebhookRows

S = DeliveryStatus
COMMAND = ("webhooks", "deliveries")


@pytest.fixture
async def rows(cli: Cli) -> WebhookRows:
    await cli.run("tenants", "create", "shop")
    return await WebhookRows.make(cli.hermod.core.storage.database, "shop", datetime.now(UTC))


async def listed(cli: Cli, *narrowed: str) -> list[str]:
    return [one["id"] for one in (await cli.json(*COMMAND, "list", *narrowed))["items"]]


async def test_list_is_narrowed_by_endpoint_status_type_and_time(cli: Cli, rows: WebhookRows) -> None:
    other = await WebhookRows.make(rows.database, "shop", rows.at)
    failed = await rows.add(S.FAILED, type_="order.paid")
    late = await rows.add(S.FAILED, type_="user.made", ago=timedelta(days=2))
    delivered = await rows.add(S.DELIVERED, type_="order.made")
    elsewhere = await other.add(S.FAILED)
    assert set(await listed(cli)) == {failed, late, delivered, elsewhere}
    assert set(await listed(cli, "--status", "failed")) == {failed, late, elsewhere}
    assert set(await listed(cli, "--status", "failed", "--endpoint", rows.endpoint)) == {failed, late}
    assert set(await listed(cli, "--type", "order.*", "--endpoint", rows.endpoint)) == {failed, delivered}
    assert set(await listed(cli, "--since", "-1d", "--endpoint", rows.endpoint)) == {failed, delivered}
    assert await listed(cli, "--until", "-1d") == [late]
    assert failed in (await cli.run(*COMMAND, "list")).stdout


async def test_discarded_dead_letter_is_off_the_list_and_its_record_stays(cli: Cli, rows: WebhookRows) -> None:
    failed, delivered = await rows.add(S.FAILED), await rows.add(S.DELIVERED)
    answer = await cli.json(*COMMAND, "discard", failed, delivered, code=1)
    assert [one["id"] for one in answer["deliveries"]] == [failed]
    assert [one["id"] for one in answer["refused"]] == [delivered]
    assert await listed(cli, "--status", "failed") == []
    assert failed in await listed(cli)


async def test_retried_dead_letter_is_pending_until_temporal_is_back(cli: Cli, rows: WebhookRows) -> None:
    failed = await rows.add(S.FAILED)
    assert (await cli.run(*COMMAND, "retry", failed)).stdout.startswith(failed)
    assert await rows.status(failed) is S.PENDING


async def test_show_tells_the_story_or_prints_the_script(cli: Cli, rows: WebhookRows) -> None:
    failed = await rows.add(S.FAILED)
    assert "https://example.com/hook" in (await cli.run(*COMMAND, "show", failed)).stdout
    assert (await cli.json(*COMMAND, "show", failed))["status"] == "failed"
    script = (await cli.run(*COMMAND, "show", failed, "--curl")).stdout
    assert script.startswith("#!/bin/sh\n")
    assert script.endswith("--data-binary @- --url 'https://example.com/hook'\n")
    await cli.run(*COMMAND, "show", failed, "--curl", "--attempt", "3", code=1)
    await cli.run(*COMMAND, "show", failed, "--attempt", "3", code=2)
    await cli.run(*COMMAND, "show", "whd_0", code=1)


async def test_replay_counts_begins_and_is_moved(cli: Cli, rows: WebhookRows) -> None:
    await rows.add(S.FAILED)
    await rows.add(S.PARKED, ago=timedelta(hours=3))
    replay = ("webhooks", "replay", rows.endpoint, "--since")
    assert (await cli.run(*replay, "-4h", "--dry-run")).stdout == "2 would be sent again\n"
    assert (await cli.json(*replay, "-1h", "--dry-run", "--type", "order.*"))["matching"] == 1
    own = (await cli.json(*replay, "-4h", "--status", "parked"))["id"]
    for move, status in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        assert (await cli.run("webhooks", "replays", move, own)).stdout == f"{own} {status}\n"
        assert [one["status"] for one in (await cli.json("webhooks", "replays", "list"))["items"]] == [status]
    assert "cancelled" in (await cli.run("webhooks", "replays", "show", own)).stdout
    await cli.run("webhooks", "replays", "resume", own, code=1)
    await cli.run(*replay, "yesterday", code=2)
    await cli.run(*replay, "-4h", "--per-second", "0", code=1)
