"""The request of an attempt: its headers, what is signed, and what no endpoint can add to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import pytest

from hermod.contracts.webhooks.deliveries import DeliveryStatus, Ordering, WhenExhausted
from hermod.outbound.webhooks.headers import MOST_BYTES, MOST_HEADERS, request_headers, response_headers
from hermod.outbound.webhooks.requests import RESERVED_HEADERS, post_for
from hermod.outbound.webhooks.signatures import new_key_pair, new_secret, public_key, verify_webhook
from hermod.ports.webhooks.ledger import DeliveryItem, Endpoint

NOW = datetime(2026, 3, 1, 12, 0, 0, 900_000, tzinfo=UTC)
NEW, OLD, PAIR = new_secret(), new_secret(), new_key_pair()
BODY = b'{"b": 1,  "a":"\xc5\xbc"}'
ITEM = DeliveryItem(
    id="whd_1",
    endpoint_id="whe_1",
    event_id="evt_1",
    event_type="order.paid",
    body=BODY,
    status=DeliveryStatus.QUEUED,
    attempts=0,
    spent=0,
    next_attempt_at=None,
    wait_reason=None,
    request_id="req_1",
    order_key=None,
)
ENDPOINT = Endpoint(
    tenant="demo",
    id="whe_1",
    url="https://hooks.example.com/in?token=abc",
    headers={"X-Team": "billing"},
    keys=(NEW, OLD, PAIR),
    waits=(timedelta(seconds=30),),
    jitter=0.1,
    timeout=timedelta(seconds=15),
    rate_per_second=None,
    concurrency=1,
    ordering=Ordering.NONE,
    when_exhausted=WhenExhausted.DEAD_LETTER,
    skip_after=None,
    enabled=True,
    disabled_reason=None,
    paused_until=None,
    pause_reason=None,
    pause_count=0,
    revision=1,
)


def endpoint(**changes: Any) -> Endpoint:
    return dataclasses.replace(ENDPOINT, **changes)


def headers(headers: Mapping[str, str] | None = None, attempt: int = 1) -> dict[str, str]:
    changed = ENDPOINT if headers is None else endpoint(headers=headers)
    return dict(post_for(changed, ITEM, attempt, NOW).headers)


def test_post_carries_the_standard_headers_first() -> None:
    post = post_for(ENDPOINT, ITEM, 1, NOW)
    assert [(name, value) for name, value in post.headers if name != "webhook-signature"] == [
        ("webhook-id", "whd_1"),
        ("webhook-timestamp", "1772366400"),
        ("webhook-attempt", "1"),
        ("content-type", "application/json"),
        ("user-agent", f"Hermod/{version('hermod')}"),
        ("x-request-id", "req_1"),
        ("X-Team", "billing"),
    ]
    assert (post.url, post.deadline) == (ENDPOINT.url, timedelta(seconds=15))


def test_post_sends_the_very_bytes_that_every_key_signs() -> None:
    post = post_for(ENDPOINT, ITEM, 1, NOW)
    assert post.body is ITEM.body
    for secret in (NEW, OLD, public_key(PAIR)):
        verify_webhook(post.body, dict(post.headers), secret, now=NOW)
    assert (
        dict(post.headers)["webhook-signature"].split(" ")[0]
        == (dict(post_for(endpoint(keys=(NEW,)), ITEM, 1, NOW).headers)["webhook-signature"])
    )


def test_post_of_a_later_attempt_has_its_own_time_and_connection_and_the_same_id() -> None:
    first, second = post_for(ENDPOINT, ITEM, 1, NOW), post_for(ENDPOINT, ITEM, 2, NOW + timedelta(seconds=30))
    assert (first.fresh, second.fresh) == (False, True)
    one, two = dict(first.headers), dict(second.headers)
    assert one["webhook-id"] == two["webhook-id"]
    assert int(two["webhook-timestamp"]) == int(one["webhook-timestamp"]) + 30
    assert two["webhook-attempt"] == "2"
    assert one["webhook-signature"] != two["webhook-signature"]


def test_post_without_a_request_id_is_traced_by_its_delivery() -> None:
    post = post_for(ENDPOINT, dataclasses.replace(ITEM, request_id=None), 1, NOW)
    assert dict(post.headers)["x-request-id"] == "whd_1"


@pytest.mark.parametrize("name", [*sorted(RESERVED_HEADERS), "Webhook-Signature", "HOST", "Content-Length"])
def test_post_reserved_header_of_an_endpoint_is_left_out(name: str) -> None:
    assert headers({name: "mine", "Authorization": "Bearer x"}) == headers({"Authorization": "Bearer x"})


@pytest.mark.parametrize(
    ("name", "value"), [("content-type", "application/cloudevents+json"), ("User-Agent", "Shop/2"), ("user-agent", "x")]
)
def test_post_kind_and_sender_are_named_by_the_endpoint_they_take_the_place_of_ours(name: str, value: str) -> None:
    made = post_for(dataclasses.replace(ENDPOINT, headers={name: value}), ITEM, 1, NOW)
    assert [text for given, text in made.headers if given.lower() == name.lower()] == [value]


def test_log_of_a_request_shows_known_values_only() -> None:
    given = [("webhook-id", "w"), ("webhook-signature", "v1,a v1,b v1a,c"), ("Accept", "mine"), ("X-Key", "k")]
    sent = [*given, ("Host", "example.com"), ("Content-Length", "2"), ("X-Key", "l")]
    assert request_headers(sent, given) == {
        "webhook-id": "w",
        "webhook-signature": "v1,*** v1,*** v1a,***",
        "accept": "***",
        "x-key": "***, ***",
        "host": "example.com",
        "content-length": "2",
    }


def test_log_of_an_answer_is_bounded_and_readable() -> None:
    many = response_headers([(f"x-{number}", b"v") for number in range(500)])
    assert len(many) == MOST_HEADERS
    large = response_headers([(f"x-{number}", "ż".encode() * 5000) for number in range(50)])
    assert sum(len(name.encode()) + len(value.encode()) for name, value in large.items()) <= MOST_BYTES
    assert response_headers([("x-a", b"a\xff\x00b"), ("set-cookie", b"s=1")]) == {"x-a": "a��b", "set-cookie": "***"}
