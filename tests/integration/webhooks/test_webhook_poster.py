"""The wire of webhooks against a receiver that misbehaves: each way with its outcome, in bounded time and memory."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from datetime import timedelta
from email.utils import format_datetime

import pytest

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.webhooks.poster import PosterSettings, WebhookPoster
from hermod.ports.webhooks.ledger import Post
from tests.integration.conformance.scripted import closed_port
from tests.integration.webhooks.posting import BODY, HEADERS, NOW, order, posting, saying
from tests.support.hostile import Hostile
from tests.support.polling import eventually


async def test_post_answer_is_told_whole(poster: WebhookPoster, receiver: Hostile) -> None:
    exchange = await poster.post(order(receiver.url))
    assert (exchange.outcome, exchange.status_code, exchange.error) == ("success", 200, None)
    assert (exchange.body, exchange.truncated, exchange.address) == (b'{"ok":true}', False, "127.0.0.1")
    assert exchange.response_headers == {"content-length": "11"}
    assert exchange.retry_after is None
    phases = exchange.phases
    assert (phases.dns, phases.tls) == (None, None)
    assert phases.connect is not None
    assert phases.first_byte is not None
    assert phases.body is not None
    assert phases.connect + phases.first_byte + phases.body <= exchange.duration_ms + 1


async def test_post_what_leaves_is_what_was_ordered(poster: WebhookPoster, receiver: Hostile) -> None:
    await poster.post(order(receiver.url))
    (request,) = receiver.requests
    assert (request.method, request.target, request.body) == ("POST", "/hook", BODY)
    lines = request.raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    added = {"host", "accept", "accept-encoding", "content-length"}
    assert [line for line in lines if line.partition(":")[0].lower() not in added] == [
        f"{name}: {value}" for name, value in HEADERS
    ]
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["content-length"] == str(len(BODY))


async def test_post_log_shows_no_secret_of_the_request(poster: WebhookPoster, receiver: Hostile) -> None:
    shown = (await poster.post(order(receiver.url))).request_headers
    assert shown == {
        "host": f"127.0.0.1:{receiver.port}",
        "webhook-id": "whd_1",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,*** v1a,***",
        "webhook-attempt": "1",
        "content-type": "application/json",
        "user-agent": "Hermod/1",
        "x-request-id": "req_1",
        "authorization": "***",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": str(len(BODY)),
    }


@pytest.mark.parametrize(
    "target", ["/a%2Fb%3D?sig=x%2By%3D%3D&t=a+b", "/?a=1&a=2", "/p;v=1/(x)'~", "/%7Euser?url=https%3A%2F%2Fx"]
)
async def test_post_url_is_called_as_it_is_written(poster: WebhookPoster, receiver: Hostile, target: str) -> None:
    await poster.post(order(receiver.url.removesuffix("/hook") + target))
    assert receiver.requests[0].target == target


@pytest.mark.parametrize(("tail", "target"), [("", "/"), ("?a=1", "/?a=1"), ("/ü {x}", "/%C3%BC%20%7Bx%7D")])
async def test_post_url_is_completed_and_quoted(
    poster: WebhookPoster, receiver: Hostile, tail: str, target: str
) -> None:
    await poster.post(order(receiver.url.removesuffix("/hook") + tail))
    assert receiver.requests[0].target == target


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "success"), (202, "success"), (204, "success"), (301, "redirect"), (304, "redirect"), (308, "redirect")]
    + [(status, "http_error") for status in (400, 401, 404, 410, 429, 500, 502, 503, 504)],
)
async def test_post_status_decides(poster: WebhookPoster, receiver: Hostile, status: int, outcome: str) -> None:
    receiver.behave(str(status))
    exchange = await poster.post(order(receiver.url))
    assert (exchange.outcome, exchange.status_code, exchange.truncated) == (outcome, status, False)
    assert exchange.address == "127.0.0.1"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("3600", 3600.0),
        (format_datetime(NOW + timedelta(hours=2), usegmt=True), 7200.0),
        ("864000", 86400.0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), 86400.0),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0.0),
        ("soon", None),
        ("\xff\xfe", None),
    ],
)
async def test_post_wait_that_is_asked_for_is_read(
    poster: WebhookPoster, receiver: Hostile, value: str, seconds: float | None
) -> None:
    receiver.behave("429", headers={"Retry-After": value})
    assert (await poster.post(order(receiver.url))).retry_after == seconds


async def test_post_wait_with_a_success_is_none(poster: WebhookPoster, receiver: Hostile) -> None:
    receiver.behave("202", headers={"Retry-After": "60"})
    assert (await poster.post(order(receiver.url))).retry_after is None


async def test_post_redirect_is_told_and_never_followed(poster: WebhookPoster, receiver: Hostile) -> None:
    receiver.behave("redirect")
    exchange = await poster.post(order(receiver.url))
    assert (exchange.outcome, exchange.status_code) == ("redirect", 307)
    assert exchange.response_headers["location"].endswith("/stolen")
    assert (len(receiver.requests), receiver.elsewhere) == (1, [])


@pytest.mark.parametrize("turn", ["drip", "drip_head", "hung", "informational"])
async def test_post_deadline_is_over_everything(poster: WebhookPoster, receiver: Hostile, turn: str) -> None:
    receiver.behave(turn)
    exchange = await poster.post(order(receiver.url, deadline=1))
    if turn in ("drip", "drip_head"):
        assert (exchange.outcome, exchange.status_code, exchange.truncated) == ("success", 200, True)
        assert (1 if turn == "drip" else 0) <= len(exchange.body) <= 20
        assert (exchange.phases.body is not None) == (turn == "drip")
    else:
        assert (exchange.outcome, exchange.status_code, exchange.error) == ("timeout", None, "no answer in time")
        assert exchange.address == "127.0.0.1"
        assert exchange.phases.first_byte is not None
        assert exchange.phases.body is None
    await eventually(lambda: receiver.under_way == 0)


async def test_post_endless_body_is_read_to_the_cap_and_no_further(poster: WebhookPoster, receiver: Hostile) -> None:
    receiver.behave("endless")
    await poster.post(order(receiver.url))  # what is loaded once is not measured
    tracemalloc.start()
    try:
        exchange = await poster.post(order(receiver.url))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (exchange.outcome, len(exchange.body), exchange.truncated) == ("success", 16384, True)
    assert peak < 4_000_000
    await eventually(lambda: receiver.under_way == 0)
    assert receiver.sent < 32_000_000


async def test_post_body_of_exactly_the_cap_is_whole(poster: WebhookPoster) -> None:
    async with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n" + b"x" * 16384) as url:
        exchange = await poster.post(order(url))
    assert (len(exchange.body), exchange.truncated) == (16384, False)


async def test_post_compressed_answer_is_kept_as_it_came(poster: WebhookPoster, receiver: Hostile) -> None:
    receiver.behave("bomb", "broken_gzip")
    exchange = await poster.post(order(receiver.url))
    assert (exchange.outcome, exchange.truncated) == ("success", True)
    assert exchange.body.startswith(gzip.compress(b"")[:2])
    assert len(exchange.body) == 16384
    broken = await poster.post(order(receiver.url))
    assert (broken.outcome, broken.body, broken.truncated) == ("success", b"this is no gzip", False)


async def test_post_body_that_breaks_off_is_still_a_success(poster: WebhookPoster, receiver: Hostile) -> None:
    receiver.behave("break_off")
    exchange = await poster.post(order(receiver.url))
    assert (exchange.outcome, exchange.body, exchange.truncated) == ("success", b'{"ok"', True)


@pytest.mark.parametrize(
    ("turn", "outcome"),
    [("reset", "reset"), ("close", "reset"), ("reset_at_once", "reset"), ("garbage", "protocol")],
)
async def test_post_no_answer_is_an_outcome_and_one_request(
    poster: WebhookPoster, receiver: Hostile, turn: str, outcome: str
) -> None:
    receiver.behave(turn)
    exchange = await poster.post(order(receiver.url))
    assert (exchange.outcome, exchange.status_code) == (outcome, None)
    assert exchange.error
    assert exchange.request_headers["webhook-signature"] == "v1,*** v1a,***"
    assert (receiver.connections, len(receiver.requests)) == (1, 0 if turn == "reset_at_once" else 1)


@pytest.mark.parametrize("turn", ["huge_headers", "endless_header"])
async def test_post_head_without_end_is_bounded(poster: WebhookPoster, receiver: Hostile, turn: str) -> None:
    receiver.behave(turn)
    exchange = await poster.post(order(receiver.url))
    if turn == "huge_headers":
        assert exchange.outcome == "success"
        assert len(exchange.response_headers) <= 64
        assert sum(len(name) + len(value) for name, value in exchange.response_headers.items()) <= 8192
    else:
        assert (exchange.outcome, exchange.status_code, exchange.truncated) == ("success", 200, True)
        assert receiver.sent < 8_000_000


async def test_post_header_that_is_no_text_becomes_text(poster: WebhookPoster) -> None:
    async with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Odd: a\xff\tb\r\nX-Odd: c\r\n\r\n") as url:
        exchange = await poster.post(order(url))
    assert exchange.response_headers == {"content-length": "0", "x-odd": "a��b, c"}


async def test_post_cookies_are_neither_kept_nor_logged(poster: WebhookPoster, receiver: Hostile) -> None:
    receiver.behave("200", headers={"Set-Cookie": "session=s3cret; Path=/"})
    assert (await poster.post(order(receiver.url))).response_headers["set-cookie"] == "***"
    await poster.post(order(receiver.url))
    assert [request.headers.get("cookie") for request in receiver.requests] == [None, None]


async def test_post_answer_before_the_body_was_read_counts(poster: WebhookPoster) -> None:
    async with saying(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", read=False) as url:
        exchange = await poster.post(order(url, body=b"x" * 262_144))
    assert exchange.status_code == 413 or exchange.outcome == "reset"


async def test_post_proxy_of_the_environment_is_not_used(
    poster: WebhookPoster, receiver: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    assert (await poster.post(order(receiver.url))).outcome == "success"


async def test_post_connection_is_kept_and_a_repetition_takes_its_own(poster: WebhookPoster, receiver: Hostile) -> None:
    await poster.post(order(receiver.url))
    await poster.post(order(receiver.url))
    assert receiver.connections == 1
    await poster.post(order(receiver.url, fresh=True))
    await poster.post(order(receiver.url, fresh=True))
    assert receiver.connections == 3
    assert receiver.requests[2].headers["connection"] == "close"


async def test_post_connection_of_an_unread_answer_is_not_used_again(poster: WebhookPoster, receiver: Hostile) -> None:
    receiver.behave("endless", "ok")
    await poster.post(order(receiver.url))
    assert (await poster.post(order(receiver.url))).body == b'{"ok":true}'
    assert receiver.connections == 2


async def test_post_idle_connection_is_given_up_after_its_time(receiver: Hostile) -> None:
    guard, settings = AddressGuard(allow_private=True), PosterSettings(keepalive=0.1)
    assert PosterSettings().keepalive < 5
    async with posting(guard, settings=settings) as poster:
        await poster.post(order(receiver.url))
        await asyncio.sleep(0.4)
        await poster.post(order(receiver.url))
    assert receiver.connections == 2


async def test_post_hung_receiver_does_not_hold_up_another(receiver: Hostile) -> None:
    receiver.behave("hung")
    settings = PosterSettings(connections_per_host=5)
    async with Hostile() as other, posting(AddressGuard(allow_private=True), settings=settings) as poster:
        stuck = [asyncio.create_task(poster.post(order(receiver.url, deadline=5))) for _ in range(20)]
        await eventually(lambda: receiver.under_way == 5)
        exchanges = await asyncio.gather(*(poster.post(order(other.url)) for _ in range(50)))
        assert not any(task.done() for task in stuck)
        assert {exchange.outcome for exchange in exchanges} == {"success"}
        assert other.peak <= 5
        assert receiver.peak == 5
        ends = [await task for task in stuck]
    assert {exchange.outcome for exchange in ends} == {"timeout"}
    assert {"no answer in time", "no free connection in time"} <= {exchange.error for exchange in ends}


async def test_post_cancellation_passes_through_and_closes(poster: WebhookPoster, receiver: Hostile) -> None:
    receiver.behave("hung")
    posted = asyncio.create_task(poster.post(order(receiver.url)))
    await eventually(lambda: receiver.under_way == 1)
    posted.cancel()
    with pytest.raises(asyncio.CancelledError):
        await posted
    await eventually(lambda: receiver.under_way == 0)


async def test_post_header_that_cannot_be_sent_is_an_outcome(poster: WebhookPoster, receiver: Hostile) -> None:
    bad = Post(
        url=receiver.url, headers=(("x-bad", "a\r\nb: c"),), body=b"{}", deadline=timedelta(seconds=2), fresh=False
    )
    exchange = await poster.post(bad)
    assert exchange.outcome == "protocol"
    assert exchange.error is not None
    assert exchange.error.startswith("the request could not be made")
    assert receiver.requests == []


async def test_poster_closed_before_use_is_no_fault() -> None:
    await WebhookPoster(AddressGuard()).aclose()
