"""The soak's checks find each promise that is broken, and nothing where all were kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.soak import delivery_checks, message_checks
from benchmarks.soak.accepted import Accepted
from benchmarks.soak.delivery_checks import Delivery, Received
from benchmarks.soak.message_checks import Inbox, Story
from benchmarks.soak.picture import Panel, steps, svg

M, D = "msg_1", "whd_1"


def story(status: str = "sent", *outcomes: str | None, providers: Sequence[str] = ("sendgrid",)) -> Story:
    made = outcomes or ("accepted",)
    final = status not in ("queued", "retrying")
    return Story(M, status, final, None, made, (tuple(providers) * len(made))[: len(made)])


def messages(told: Story, requests: int, taken: int, **accepted: Any) -> list[str]:
    inbox = Inbox({M: requests} if requests else {}, {M: taken} if taken else {})
    return list(message_checks.broken({M: told}, inbox, Accepted(messages={M}, **accepted)))


def delivery(status: str = "delivered", *attempts: tuple[str, int | None], place: int = 1, own: str = D) -> Delivery:
    made = attempts or (("success", 200),)
    outcomes, codes = zip(*made, strict=True)
    return Delivery(own, "good-2", status, "key", place, outcomes, codes)


def received(requests: int = 1, answered: int = 1, succeeded: int = 1) -> Received:
    return Received({D: requests}, {D: answered}, {D: succeeded}, {D: 0})


def deliveries(told: Delivery, got: Received, **accepted: Any) -> list[str]:
    return list(delivery_checks.broken({D: told}, got, Accepted(deliveries={D}, **accepted), frozenset()))


@pytest.mark.parametrize(
    ("told", "requests", "taken", "accepted"),
    [
        pytest.param(story(), 1, 1, {}, id="sent"),
        pytest.param(story("sent", "unknown", "accepted"), 2, 2, {}, id="taken-twice-after-a-doubt"),
        pytest.param(story("sent", "unknown", "accepted"), 1, 1, {}, id="request-that-never-left"),
        pytest.param(story("failed", "message_rejected"), 1, 0, {}, id="refused"),
        pytest.param(story("unknown", "unknown"), 1, 1, {"at_most_once": {M}}, id="doubt-of-at-most-once"),
        pytest.param(
            story("sent", "unknown", "accepted", providers=("sandbox",)), 2, 1, {"at_most_once": {M}}, id="known-repeat"
        ),
        pytest.param(story("retrying", None), 1, 1, {}, id="under-way"),
    ],
)
def test_message_keeps_its_promises_nothing_is_found(told: Story, requests: int, taken: int, accepted: Any) -> None:
    assert messages(told, requests, taken, **accepted) == []


@pytest.mark.parametrize(
    ("told", "requests", "taken", "accepted", "found"),
    [
        pytest.param(story(), 2, 1, {}, "made 2 requests", id="request-off-record"),
        pytest.param(story(), 0, 0, {}, "the provider saw 0 requests", id="answer-out-of-nowhere"),
        pytest.param(story("sent", "throttled", "accepted"), 2, 2, {}, "was taken 2 times", id="taken-twice"),
        pytest.param(story(), 1, 0, {}, "no provider has it", id="lost"),
        pytest.param(story("failed", "throttled"), 1, 1, {}, "a provider has it", id="failed-and-there"),
        pytest.param(story(), 1, 1, {"cancelled": {M}}, "was cancelled", id="cancelled-and-sent"),
        pytest.param(
            story("sent", "unknown", "accepted"), 2, 1, {"at_most_once": {M}}, "sent again", id="at-most-once-again"
        ),
        pytest.param(
            story("sent", "unknown", "accepted", providers=("sandbox", "sendgrid")),
            2,
            1,
            {"at_most_once": {M}},
            "sent again",
            id="at-most-once-elsewhere",
        ),
    ],
)
def test_message_breaks_a_promise_is_found(told: Story, requests: int, taken: int, accepted: Any, found: str) -> None:
    lines = messages(told, requests, taken, **accepted)
    assert lines
    assert found in lines[0]


def test_message_is_missing_or_unheard_of_is_found() -> None:
    lines = list(message_checks.broken({}, Inbox({"msg_2": 1}, {"msg_2": 1}), Accepted(messages={M})))
    assert lines == ["msg_1 was accepted and is not on record", "msg_2 was never on record and reached a provider"]


@pytest.mark.parametrize(
    ("told", "got"),
    [
        pytest.param(delivery(), received(), id="delivered"),
        pytest.param(delivery("delivered", ("timeout", None), ("success", 200)), received(2, 2, 2), id="late-answer"),
        pytest.param(delivery("failed", ("http_error", 500)), received(1, 1, 0), id="refused"),
        pytest.param(delivery("retrying", ("connect", None)), received(0, 0, 0), id="not-reached"),
    ],
)
def test_delivery_keeps_its_promises_nothing_is_found(told: Delivery, got: Received) -> None:
    assert deliveries(told, got) == []


@pytest.mark.parametrize(
    ("told", "got", "found"),
    [
        pytest.param(delivery(), received(2, 2, 1), "made 2 requests", id="request-off-record"),
        pytest.param(delivery("failed", ("http_error", 500)), received(1, 0, 0), "has 1 answers", id="made-up-answer"),
        pytest.param(delivery(), received(1, 1, 0), "never said so", id="lost"),
        pytest.param(
            delivery("delivered", ("success", 200), ("success", 200)), received(2, 2, 2), "taken 2 times", id="twice"
        ),
    ],
)
def test_delivery_breaks_a_promise_is_found(told: Delivery, got: Received, found: str) -> None:
    lines = deliveries(told, got)
    assert lines
    assert found in lines[0]


def test_delivery_was_asked_for_again_may_be_taken_twice() -> None:
    told = delivery("delivered", ("success", 200), ("success", 200))
    assert deliveries(told, received(2, 2, 2), retried={D}) == []


def test_delivery_overtakes_one_of_its_key_is_found() -> None:
    both = {"whd_1": delivery(own="whd_1", place=1), "whd_2": delivery(own="whd_2", place=2)}
    once = {"whd_1": 1, "whd_2": 1}
    in_order = Received(once, once, once, {"whd_1": 0, "whd_2": 1})
    reversed_order = Received(once, once, once, {"whd_1": 1, "whd_2": 0})
    accepted = Accepted(deliveries=set(both))
    assert list(delivery_checks.broken(both, in_order, accepted, frozenset())) == []
    (line,) = delivery_checks.broken(both, reversed_order, accepted, frozenset())
    assert "came before whd_1" in line


def test_picture_is_drawn_has_every_line_and_round_numbers() -> None:
    panels = (
        Panel("Memory & more", {"web": [1.0, 3.0], "worker": [2.0, 41.0]}),
        Panel("Files", {"web": [0, 0], "worker": [0, 0]}),
    )
    drawn = ElementTree.fromstring(svg("Load", [0.0, 13.0], "minutes", panels))
    lines = drawn.findall("{http://www.w3.org/2000/svg}polyline")
    words = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert len(lines) == 4
    assert {"Memory & more", "Files", "minutes", "web", "worker", "50", "15"} <= set(words)


@pytest.mark.parametrize(("top", "last"), [(0.0, 0.0), (3.0, 3.0), (41.0, 50.0), (504.0, 600.0), (2279.0, 2500.0)])
def test_scale_is_made_of_round_steps_up_to_the_top(top: float, last: float) -> None:
    found = steps(top)
    assert found[0] == 0
    assert found[-1] == pytest.approx(last, abs=1e-6)
