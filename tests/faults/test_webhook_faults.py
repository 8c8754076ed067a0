"""Faults of webhook senders, each brought about on the real path. What they tell becomes docs/faults.md."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from sqlalchemy import text

from hermod.contracts.webhooks.deliveries import MAX_ANSWER_BYTES, ReplayInput
from starter import InvalidSignature, verify_webhook
from starter.webhooks.endpoints import change_endpoint, enable_endpoint, show_endpoint
from starter.webhooks.replays import replay
from tests.faults.conftest import Record
from tests.faults.webhooks import Ground
from tests.support.hostile import Hostile, Received
from tests.support.polling import eventually
from tests.support.product import ProductFixture, new_house

FAR: Final = (3600.0,)
"""A wait that no test waits for."""
LANE: Final = 100
"""Deliveries that a worker has at hand at once, batches being one (WORKER_CONCURRENCY)."""
KEPT: Final = MAX_ANSWER_BYTES + 1
"""A byte before an answer says how it is stored."""


def verified(request: Received, secret: str) -> bool:
    try:
        verify_webhook(request.body, request.headers, secret)
    except InvalidSignature:
        return False
    return True


async def test_answer_without_end_is_over_at_the_deadline(ground: Ground) -> None:
    await ground.endpoint()
    for turns in (("drip",), ("endless",), ("drip_head",), ("informational", "ok")):
        ground.receiver.behave(*turns)
        await ground.emit()
        await ground.all_are("delivered")
    attempts = await ground.attempts()
    assert [attempt.outcome for attempt in attempts] == ["success", "success", "success", "timeout", "success"]
    assert all(attempt.duration_ms < 3_000 for attempt in attempts)
    assert all(len(attempt.response_body or b"") <= KEPT for attempt in attempts)
    await ground.tell(
        2,
        "An endless or dripping answer outlived the time-out",
        "One deadline over everything, answers read to 16 KiB; the status line decides",
        "102 again and again is no answer",
    )


async def test_retry_after_of_an_hour_is_an_hour_for_the_whole_endpoint(ground: Ground) -> None:
    endpoint = await ground.endpoint()
    ground.receiver.behave("503", headers={"Retry-After": "3600"})
    await ground.emit()
    await ground.all_are("retrying")

    async def paused() -> datetime | None:
        until: datetime | None = (await ground.endpoint_row(endpoint.id)).paused_until
        return until

    until = await eventually(paused)
    await ground.emit(3)

    async def all_wait() -> bool:
        waits = [row.next_attempt_at for row in await ground.deliveries()]
        assert all(wait is not None and wait >= until - timedelta(seconds=5) for wait in waits), waits
        return True

    await eventually(all_wait)
    assert until - datetime.now(UTC) > timedelta(minutes=59)
    assert len(ground.receiver.requests) == 1
    await ground.tell(
        3,
        "`Retry-After: 3600` was cut to seconds",
        "Honoured up to 24 hours, and by every delivery to that endpoint",
    )


async def test_rate_of_an_endpoint_is_kept(ground: Ground) -> None:
    await ground.endpoint(rate_per_second=5)
    await ground.emit(12)
    await ground.all_are("delivered")
    times = sorted(attempt.started_at for attempt in await ground.attempts())
    assert times[-1] - times[0] >= timedelta(seconds=1.9)
    await ground.tell(
        4,
        "An endpoint's rate was stored and not enforced",
        "A rate is a row that whoever sends reserves from, over all workers",
    )


async def test_period_of_a_disabled_endpoint_is_parked_and_replayed(ground: Ground) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    endpoint = await ground.endpoint()
    ground.receiver.behave("410", "ok")
    await ground.emit()

    async def disabled() -> bool:
        row = await ground.endpoint_row(endpoint.id)
        return not row.enabled and row.disabled_reason == "gone"

    await eventually(disabled)
    await ground.emit(5)
    await ground.all_are("parked", "failed")
    assert len(ground.receiver.requests) == 1
    assert (await show_endpoint(ground.hermod, endpoint.id)).parked >= 5
    await enable_endpoint(ground.hermod, endpoint.id)
    await replay(ground.hermod, endpoint.id, ReplayInput(since=before, per_second=100))
    await ground.all_are("delivered")
    await ground.tell(
        5,
        "Messages of a disabled endpoint's time were lost",
        "Parked, counted, and sent by a replay once it is enabled",
        "the one that was answered 410",
    )


async def test_connection_closed_under_a_request_is_an_attempt_in_the_log(ground: Ground) -> None:
    await ground.endpoint()
    ground.receiver.behave("ok", "close", "ok")
    await ground.emit()
    await ground.all_are("delivered")
    await ground.emit()
    await ground.all_are("delivered")
    attempts = await ground.attempts()
    sent = [(request.headers["webhook-id"], int(request.headers["webhook-attempt"])) for request in ground.requests]
    assert sent == [(attempt.delivery_id, attempt.number) for attempt in attempts]
    assert [attempt.outcome for attempt in attempts] == ["success", "reset", "success"]
    await ground.tell(
        6,
        "The HTTP client sent again by itself, and the log did not know",
        "The client never repeats; each request on the wire is a row of the log",
        "no answer came: the connection was closed",
    )


async def test_success_of_the_last_attempt_keeps_the_endpoint(ground: Ground) -> None:
    endpoint = await ground.endpoint(retry=(3,))
    ground.receiver.behave("500", "ok")
    await ground.emit()

    async def fails() -> bool:
        return (await ground.endpoint_row(endpoint.id)).failing_since is not None

    await eventually(fails)
    statement = text("UPDATE webhook_endpoints SET failing_since = now() - interval '30 days' WHERE id = :id")
    await ground.hermod.core.storage.database.execute(statement, {"id": endpoint.id})
    await ground.all_are("delivered")

    async def well() -> bool:
        row = await ground.endpoint_row(endpoint.id)
        return row.enabled and row.failing_since is None

    await eventually(well)
    await ground.tell(
        8,
        "The last attempt succeeded and the endpoint was disabled all the same",
        "One success ends the time of failure",
        "the first was answered 500",
    )


async def test_compressed_bomb_in_a_success_is_a_success(ground: Ground) -> None:
    await ground.endpoint()
    ground.receiver.behave("bomb", "broken_gzip")
    await ground.emit(2)
    await ground.all_are("delivered")
    attempts = await ground.attempts()
    assert [attempt.outcome for attempt in attempts] == ["success"] * 2
    assert max(len(attempt.response_body) for attempt in attempts) <= KEPT
    await ground.tell(
        9,
        "A compressed answer above the cap became a failure, or filled the memory",
        "Nothing is decompressed; 16 KiB are kept as they came",
    )


async def test_secret_that_was_rotated_signs_for_its_overlap_and_no_longer(ground: Ground) -> None:
    endpoint = await ground.endpoint()
    core, overlap = ground.hermod.core, timedelta(seconds=3)
    rotated = await core.storage.webhook_endpoints.rotate(
        ground.hermod.tenant, endpoint.id, overlap, actor="test", now=core.clock.now()
    )

    async def old_secret_signs_no_more() -> bool:
        await ground.emit()
        await ground.all_are("delivered")
        latest = ground.receiver.requests[-1]
        assert verified(latest, rotated.secret)
        return not verified(latest, endpoint.secret)

    assert not await old_secret_signs_no_more()
    await eventually(old_secret_signs_no_more, every=0.25)
    for request in ground.receiver.requests:
        signed_in = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        if verified(request, endpoint.secret):
            # What an endpoint signs with is remembered for a second: units that are wrong are off by far more.
            assert signed_in < rotated.old_valid_until + overlap
        else:
            assert signed_in + timedelta(seconds=1) > rotated.old_valid_until
    await ground.tell(
        10,
        "A rotated secret's end was off by its units",
        "The old one signs beside the new one until its moment, tested to the second",
    )


async def test_signature_is_over_the_bytes_that_are_sent(ground: Ground) -> None:
    endpoint = await ground.endpoint()
    ground.receiver.behave("500", "ok")
    payload = {"z": 1.0, "a": {"ż": "żółć 🚀", "e": 1e-7, "big": 2**53 + 1}, "html": "<b>&</b>", "empty": []}
    await ground.emit(payload=payload)
    await ground.all_are("delivered")
    first, second = ground.receiver.requests
    assert first.body == second.body
    assert all(verified(request, endpoint.secret) for request in (first, second))
    await ground.tell(
        11,
        "The signature was over JSON written anew, not over the bytes sent",
        "The bytes are made once, stored, signed and sent",
        "the first was answered 500",
    )


async def test_redirect_is_a_failure_and_nobody_else_gets_the_signature(ground: Ground) -> None:
    await ground.endpoint()
    ground.receiver.behave("redirect", "ok")
    await ground.emit()
    await ground.all_are("delivered")
    assert ground.receiver.elsewhere == []
    assert [attempt.outcome for attempt in await ground.attempts()] == ["redirect", "success"]
    await ground.tell(
        12,
        "A redirect took body and signature to another host",
        "Never followed; 3xx is a failure",
        "the first was answered 307",
    )


async def test_event_id_of_one_tenant_is_not_anothers(
    ground: Ground, house: ProductFixture, receiver: Hostile, record_property: Record
) -> None:
    other = Ground((await new_house(house.hermod, house.client)).hermod, Hostile(), record_property)
    async with other.receiver:
        await ground.endpoint()
        await other.endpoint()
        for each in (ground, other):
            first, again = [
                await each.hermod.emit("order.paid", {"of": each.hermod.tenant}, event_id="evt_1") for _ in range(2)
            ]
            assert again == first
            each.owed += len(first.deliveries)
        for each in (ground, other):
            await each.all_are("delivered")
            (request,) = each.receiver.requests
            assert each.hermod.tenant.encode() in request.body
    await ground.tell(
        13,
        "Two tenants' events with the same id counted as one",
        "Ids are a tenant's own; the same id again, within a tenant, is answered and not sent twice",
        beside=[other],
    )


async def test_not_modified_is_a_failure(ground: Ground) -> None:
    await ground.endpoint()
    ground.receiver.behave("304", "ok")
    await ground.emit()
    await ground.all_are("delivered")
    first, second = await ground.attempts()
    assert (first.status_code, first.outcome == "success", second.outcome) == (304, False, "success")
    await ground.tell(15, "304 counted as success", "Success is 2xx and nothing else", "the first was answered 304")


async def test_deliveries_that_failed_together_do_not_come_again_together(ground: Ground) -> None:
    await ground.endpoint(retry=FAR)
    ground.receiver.behave("500")
    await ground.emit(9)
    rows = await ground.all_are("retrying")
    ended = {attempt.delivery_id: attempt.started_at for attempt in await ground.attempts()}
    waits = sorted((row.next_attempt_at - ended[row.id]).total_seconds() for row in rows)
    assert all(3_590 <= wait <= 3_600 * 1.25 for wait in waits)
    assert all(later - earlier > 0.001 for earlier, later in pairwise(waits))
    assert waits[-1] - waits[0] > 60
    await ground.tell(
        16, "Retries without jitter came in waves", "Every wait has its own jitter; a breaker lets one try first"
    )


async def test_hung_endpoint_holds_up_nobody_but_itself(ground: Ground) -> None:
    hung = Hostile()
    async with hung:
        hung.behave("hung")
        ground.receivers.append(hung)
        slow = await ground.endpoint(hung.url, event_types=("slow.event",), timeout_seconds=30, retry=FAR)
        await ground.endpoint(event_types=("order.paid",))
        await ground.emit(LANE + 10, kind="slow.event")

        def is_hung() -> bool:
            return hung.under_way > 0

        await eventually(is_hung)
        quick = set(await ground.emit(30))

        async def all_delivered() -> bool:
            counted = Counter(row.status for row in await ground.deliveries() if row.id in quick)
            assert counted == {"delivered": 30}, counted
            return True

        await eventually(all_delivered)
        assert hung.under_way == len(hung.requests), "before the first of the hung requests was given up"
        assert hung.peak <= 10
        await ground.tell(
            17,
            "One slow endpoint stalled all others",
            "Each endpoint has so many requests under way, and no more; the others find their places free",
        )
        await change_endpoint(ground.hermod, slow.id, {"enabled": False})
