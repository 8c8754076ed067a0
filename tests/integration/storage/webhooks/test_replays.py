"""Replays as the database has them: what matches, page by page, and nothing begun twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from hermod.contracts.errors import Conflict, NotFound
from hermod.contracts.webhooks.deliveries import DeliveryStatus, ReplayInput, ReplayStatus
from hermod.storage.database.engine import Database
from hermod.storage.secrets.contents import Contents
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.tenants import Tenants
from hermod.storage.webhooks.replays import WebhookReplays
from tests.support.webhooks.rows import WebhookRows

NOW = datetime.now(UTC)
S = DeliveryStatus
HOUR = timedelta(hours=1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    own = Database(database_url)
    for tenant in ("shop", "other"):
        await Tenants(own).create(tenant, tenant, NOW)
    yield own
    await own.close()


@pytest.fixture
def replays(database: Database) -> WebhookReplays:
    return WebhookReplays(database, Contents(database, Vault(Vault.new_key()), 30))


@pytest.fixture
async def rows(database: Database) -> WebhookRows:
    return await WebhookRows.make(database, "shop", NOW)


def asked(**changes: Any) -> ReplayInput:
    return ReplayInput(**{"since": NOW - HOUR, "per_second": 2, **changes})


async def start(replays: WebhookReplays, rows: WebhookRows, **changes: Any) -> str:
    view = await replays.start(rows.tenant, rows.endpoint, asked(**changes), actor="test", now=NOW)
    assert view.id is not None
    return view.id


async def pages(replays: WebhookReplays, rows: WebhookRows, replay: str) -> list[list[str]]:
    """The deliveries of each page, until the replay has ended."""
    found = []
    while True:
        page = await replays.page(rows.tenant, replay, None, NOW)
        found.append([delivery for delivery, _ in page.deliveries])
        if page.step.status is not ReplayStatus.RUNNING:
            return found


async def test_count_is_of_the_endpoints_dead_letters_and_parked_ones_since_then(
    database: Database, replays: WebhookReplays, rows: WebhookRows
) -> None:
    for status in S:
        await rows.add(status)
    await rows.add(S.FAILED, ago=2 * HOUR)
    await rows.discard(await rows.add(S.FAILED))
    for stranger in (await WebhookRows.make(database, "shop", NOW), await WebhookRows.make(database, "other", NOW)):
        await stranger.add(S.FAILED)
    assert await replays.count("shop", rows.endpoint, asked(), NOW) == 2
    assert await replays.count("shop", rows.endpoint, asked(status=["delivered"]), NOW) == 1
    assert await replays.count("shop", rows.endpoint, asked(status=list(S)), NOW) == 5, "what is open never matches"


@pytest.mark.parametrize(
    ("types", "matching"),
    [
        (["*"], 4),
        (["order.*"], 2),
        (["order.paid"], 1),
        (["order"], 1),
        (["order_x.*"], 0),
        (["user.*", "order.paid.late"], 2),
        ([], 4),
    ],
)
async def test_count_by_types(replays: WebhookReplays, rows: WebhookRows, types: list[str], matching: int) -> None:
    for type_ in ("order", "order.paid", "order.paid.late", "user.made"):
        await rows.add(S.FAILED, type_=type_)
    assert await replays.count("shop", rows.endpoint, asked(types=types), NOW) == matching


async def test_pages_have_a_seconds_worth_and_begin_each_delivery_once_the_oldest_first(
    replays: WebhookReplays, rows: WebhookRows
) -> None:
    deliveries = sorted([await rows.add(status) for status in (S.FAILED, S.PARKED, S.FAILED)])
    replay = await start(replays, rows)
    assert await pages(replays, rows, replay) == [deliveries[:2], deliveries[2:]]
    assert [await rows.status(delivery) for delivery in deliveries] == [S.PENDING] * 3
    view = await replays.view("shop", replay)
    assert (view.status, view.matching, view.begun) == (ReplayStatus.DONE, 3, 3)
    assert view.finished_at is not None
    assert (await replays.page("shop", replay, None, NOW)).deliveries == (), "an ended replay begins nothing"


async def test_page_seconds_make_the_rate(replays: WebhookReplays, rows: WebhookRows) -> None:
    for _ in range(3):
        await rows.add(S.FAILED)
    for per_second, begun, seconds in ((0.1, 1, 10.0), (2, 2, 1.0)):
        page = await replays.page("shop", await start(replays, rows, per_second=per_second), None, NOW)
        assert (len(page.deliveries), page.step.seconds) == (begun, seconds)
        await replays.move("shop", (await start(replays, rows, per_second=per_second)), ReplayStatus.CANCELLED,
                           actor="test", now=NOW)  # fmt: skip


async def test_reopened_delivery_has_nothing_left_of_its_end_and_belongs_to_its_line_or_itself(
    replays: WebhookReplays, rows: WebhookRows
) -> None:
    alone, ordered = await rows.add(S.FAILED), await rows.add(S.PARKED, key="k")
    page = await replays.page("shop", await start(replays, rows), None, NOW)
    assert dict(page.deliveries) == {alone: None, ordered: "k"}
    found = await rows.database.rows(
        text("SELECT id, workflow_id, dead_at, parked_at, finished_at FROM webhook_deliveries"), {}
    )
    assert {tuple(row) for row in found} == {
        (alone, f"webhook/shop/{alone}", None, None, None),
        (ordered, f"webhook-order/shop/{rows.endpoint}.k", None, None, None),
    }


async def test_what_was_begun_by_somebody_else_in_the_meantime_is_passed_over(
    replays: WebhookReplays, rows: WebhookRows
) -> None:
    deliveries = sorted([await rows.add(S.FAILED) for _ in range(4)])
    first = await start(replays, rows)
    second = await start(replays, rows, per_second=4)
    both = await asyncio.gather(pages(replays, rows, first), pages(replays, rows, second))
    assert sorted(delivery for found in both for page in found for delivery in page) == deliveries


async def test_same_replay_under_way_is_answered_and_not_begun_twice(
    replays: WebhookReplays, rows: WebhookRows
) -> None:
    await rows.add(S.DELIVERED)
    first = await start(replays, rows, status=["delivered", "failed"], types=["*", "order.*"])
    assert await start(replays, rows, status=["failed", "delivered"], types=["order.*", "*"]) == first
    assert await start(replays, rows, status=["delivered"]) != first
    await pages(replays, rows, first)
    assert await start(replays, rows, status=["delivered", "failed"], types=["*", "order.*"]) != first


async def test_delivered_is_begun_again_only_where_it_is_asked_for(replays: WebhookReplays, rows: WebhookRows) -> None:
    delivered = await rows.add(S.DELIVERED)
    assert await pages(replays, rows, await start(replays, rows)) == [[]]
    assert await pages(replays, rows, await start(replays, rows, status=["delivered"])) == [[delivered]]


async def test_what_came_after_the_replay_is_not_part_of_it(replays: WebhookReplays, rows: WebhookRows) -> None:
    replay = await start(replays, rows)
    await rows.add(S.FAILED, ago=-HOUR)
    assert await pages(replays, rows, replay) == [[]]


async def test_paused_replay_begins_nothing_until_it_is_resumed(replays: WebhookReplays, rows: WebhookRows) -> None:
    delivery = await rows.add(S.FAILED)
    replay = await start(replays, rows)
    await replays.move("shop", replay, ReplayStatus.PAUSED, actor="test", now=NOW)
    assert (await replays.page("shop", replay, None, NOW)).deliveries == ()
    page = await replays.page("shop", replay, ReplayStatus.RUNNING, NOW)
    assert [one for one, _ in page.deliveries] == [delivery]
    audited = await rows.database.rows(text("SELECT action, actor FROM audit WHERE subject = :id ORDER BY id"),
                                       {"id": replay})  # fmt: skip
    assert [tuple(row) for row in audited] == [
        ("webhook_replay.start", "test"), ("webhook_replay.paused", "test"), ("webhook_replay.running", "temporal"),
    ]  # fmt: skip


async def test_cancelled_replay_has_ended(replays: WebhookReplays, rows: WebhookRows) -> None:
    await rows.add(S.FAILED)
    replay = await start(replays, rows)
    view = await replays.move("shop", replay, ReplayStatus.CANCELLED, actor="test", now=NOW)
    assert view.finished_at is not None
    assert await replays.move("shop", replay, ReplayStatus.CANCELLED, actor="test", now=NOW) == view
    with pytest.raises(Conflict, match="cancelled"):
        await replays.move("shop", replay, ReplayStatus.RUNNING, actor="test", now=NOW)
    assert (await replays.page("shop", replay, ReplayStatus.RUNNING, NOW)).deliveries == ()


async def test_disabled_endpoint_refuses_a_replay_and_pauses_one_under_way(
    replays: WebhookReplays, rows: WebhookRows
) -> None:
    await rows.add(S.PARKED)
    replay = await start(replays, rows)
    await rows.switch(enabled=False)
    assert (await replays.page("shop", replay, None, NOW)).step.status is ReplayStatus.PAUSED
    with pytest.raises(Conflict, match="disabled"):
        await start(replays, rows, per_second=9, types=["other"])
    with pytest.raises(Conflict, match="disabled"):
        await replays.move("shop", replay, ReplayStatus.RUNNING, actor="test", now=NOW)
    assert await replays.count("shop", rows.endpoint, asked(), NOW) == 1, "counting is always allowed"
    await rows.switch(enabled=True)
    await replays.move("shop", replay, ReplayStatus.RUNNING, actor="test", now=NOW)
    assert (await replays.page("shop", replay, None, NOW)).step.begun == 1


async def test_nothing_is_found_of_another_tenant(replays: WebhookReplays, rows: WebhookRows) -> None:
    replay = await start(replays, rows)
    with pytest.raises(NotFound):
        await replays.view("other", replay)
    with pytest.raises(NotFound):
        await replays.move("other", replay, ReplayStatus.PAUSED, actor="test", now=NOW)
    with pytest.raises(NotFound):
        await replays.count("other", rows.endpoint, asked(), NOW)
    assert (await replays.page("other", replay, None, NOW)).step.status is ReplayStatus.CANCELLED


async def test_still_names_running_replays_that_nobody_moved_once(replays: WebhookReplays, rows: WebhookRows) -> None:
    replay = await start(replays, rows)
    assert await replays.still(NOW, older_than=HOUR, limit=10) == []
    assert await replays.still(NOW + HOUR, older_than=timedelta(minutes=1), limit=10) == [("shop", replay)]
    assert await replays.still(NOW + HOUR, older_than=timedelta(minutes=1), limit=10) == []


async def test_more_replays_stand_still_than_a_pass_takes_the_next_pass_names_the_rest(
    replays: WebhookReplays, rows: WebhookRows
) -> None:
    standing = {await start(replays, rows, since=NOW - hours * HOUR) for hours in range(1, 4)}
    passes = [await replays.still(NOW + HOUR, older_than=timedelta(minutes=1), limit=2) for _ in range(3)]
    assert [len(named) for named in passes] == [2, 1, 0]
    assert {replay for named in passes for _, replay in named} == standing


PAID = [{"path": "data.status", "op": "eq", "value": "paid"}]


async def put_filter(rows: WebhookRows, conditions: object) -> None:
    statement = text("UPDATE webhook_endpoints SET filter = CAST(:filter AS jsonb) WHERE id = :id")
    await rows.database.execute(statement, {"filter": orjson.dumps(conditions).decode(), "id": rows.endpoint})


async def with_payload(rows: WebhookRows, status: DeliveryStatus, payload: object) -> str:
    delivery = await rows.add(status)
    body = payload if isinstance(payload, bytes) else orjson.dumps({"type": "order.paid", "data": payload})
    statement = text("UPDATE webhook_events SET body = :body WHERE id = :id")
    await rows.database.execute(statement, {"body": body, "id": await rows.event_of(delivery)})
    return delivery


async def begun(replays: WebhookReplays, rows: WebhookRows, replay: str) -> list[str]:
    return [delivery for page in await pages(replays, rows, replay) for delivery in page]


async def test_endpoint_has_a_filter_by_now_only_what_it_asks_for_is_counted_and_begun(
    replays: WebhookReplays, rows: WebhookRows
) -> None:
    paid = [await with_payload(rows, status, {"status": "paid"}) for status in (S.FAILED, S.PARKED)]
    other = [await with_payload(rows, S.FAILED, payload) for payload in ({"status": "open"}, {}) * 3]
    paid.append(await with_payload(rows, S.FAILED, {"status": "paid", "n": 2}))
    await put_filter(rows, PAID)
    assert await replays.count("shop", rows.endpoint, asked(), NOW) == 3
    replay = await start(replays, rows)
    assert sorted(await begun(replays, rows, replay)) == sorted(paid)
    view = await replays.view("shop", replay)
    assert (view.status, view.matching, view.begun) == (ReplayStatus.DONE, 3, 3)
    assert {await rows.status(one) for one in other} == {S.FAILED}
    await put_filter(rows, [])
    assert await replays.count("shop", rows.endpoint, asked(), NOW) == 6


async def test_payload_cannot_be_read_it_is_begun_and_the_others_go_by_theirs(
    replays: WebhookReplays, rows: WebhookRows
) -> None:
    broken = [await with_payload(rows, S.FAILED, body) for body in (b"{", b"", b"[]")]
    await with_payload(rows, S.FAILED, {"status": "open"})
    await put_filter(rows, PAID)
    replay = await start(replays, rows, per_second=100)
    assert sorted(await begun(replays, rows, replay)) == sorted(broken)


async def test_filter_changes_while_a_replay_runs_the_rest_goes_by_the_new_one(
    replays: WebhookReplays, rows: WebhookRows
) -> None:
    deliveries = [await with_payload(rows, S.FAILED, {"status": "open"}) for _ in range(5)]
    replay = await start(replays, rows)
    first = await replays.page("shop", replay, None, NOW)
    await put_filter(rows, PAID)
    assert len(first.deliveries) == 2
    assert await begun(replays, rows, replay) == []
    assert [await rows.status(one) for one in sorted(deliveries)] == [S.PENDING] * 2 + [S.FAILED] * 3


async def test_more_than_a_page_of_payloads_is_counted(
    replays: WebhookReplays, rows: WebhookRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hermod.storage.webhooks.replay_matches.MOST_PAYLOADS", 2)
    for payload in ({"status": "paid"}, {}) * 3:
        await with_payload(rows, S.FAILED, payload)
    await put_filter(rows, PAID)
    assert await replays.count("shop", rows.endpoint, asked(), NOW) == 3
    monkeypatch.setattr("hermod.storage.webhooks.replay_matches.MOST_COUNTED", 4)
    assert await replays.count("shop", rows.endpoint, asked(), NOW) == 4, "the last two are counted as they are"
