"""Orders and magic recipients decide, one request at a time, what goes wrong."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from pydantic import ValidationError

from devstack.sandbox.fault import FaultName
from devstack.sandbox.faults import FaultBoard, FaultOrder
from devstack.sandbox.inbox import Counts
from devstack.sandbox.magic import MAGIC, magic_of


@pytest.fixture
def board() -> FaultBoard:
    return FaultBoard(defaultdict(Counts))


def order(fault: str = "throttle", **changes: Any) -> FaultOrder:
    return FaultOrder(fault=FaultName(fault), **changes)


def met(board: FaultBoard, *recipients: str, provider: str = "sendgrid") -> str | None:
    fault = board.take(provider, recipients or ("ada@example.com",))
    return fault.name.value if fault else None


def test_fault_has_times_is_used_up(board: FaultBoard) -> None:
    board.set("sendgrid", order(times=2))
    assert [met(board) for _ in range(3)] == ["throttle", "throttle", None]
    assert board.list() == []


def test_fault_has_no_times_lasts_until_deleted(board: FaultBoard) -> None:
    board.set("sendgrid", order())
    assert [met(board) for _ in range(3)] == ["throttle"] * 3
    board.clear("sendgrid")
    assert met(board) is None


def test_fault_is_for_one_provider_spares_the_others(board: FaultBoard) -> None:
    board.set("twilio", order())
    assert met(board) is None
    board.clear()
    assert met(board, provider="twilio") is None


def test_fault_is_for_one_recipient_goes_before_the_general_one(board: FaultBoard) -> None:
    board.set("sendgrid", order("error_503"))
    board.set("sendgrid", order("reset", to="Bob@example.com"))
    assert met(board, "ada@example.com", "bob@Example.com") == "reset"
    assert met(board) == "error_503"
    board.clear("sendgrid", to="bob@example.com")
    assert met(board, "bob@example.com") == "error_503"
    board.clear("sendgrid", to="")
    assert met(board, "bob@example.com") is None


def test_fault_is_ordered_again_replaces_the_first(board: FaultBoard) -> None:
    board.set("sendgrid", order("reset", times=5))
    board.set("sendgrid", order("slow", times=1, delay=0.5))
    assert [met(board), met(board)] == ["slow", None]


def test_fault_stands_shows_what_is_left(board: FaultBoard) -> None:
    board.set("sendgrid", order(times=3, retry_after=2))
    met(board)
    assert board.list() == [
        {
            "provider": "sendgrid",
            "fault": "throttle",
            "times": 3,
            "retry_after": 2.0,
            "delay": None,
            "to": None,
            "applied": 1,
            "remaining": 2,
        }
    ]


def test_fault_is_met_is_counted() -> None:
    counts: defaultdict[str, Counts] = defaultdict(Counts)
    board = FaultBoard(counts)
    board.set("sendgrid", order(times=1))
    met(board)
    met(board, "bounced@example.com")
    assert counts["sendgrid"].faults == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"fault": "fire"},
        {"fault": "slow", "times": 0},
        {"fault": "slow", "delay": -1},
        {"fault": "slow", "wait": 1},
    ],
)
def test_order_is_wrong_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FaultOrder.model_validate(body)


@pytest.mark.parametrize(
    ("recipient", "name"),
    [
        ("bounced@example.com", "rejected_recipient"),
        ("Bounced+42@example.org", "rejected_recipient"),
        ("rejected@example.com", "rejected_message"),
        ("lost:device-7", "accept_then_reset"),
        ("+15005550004", "rejected_recipient"),
        ("+15005550015", "reset"),
        ("notbounced@example.com", None),
        ("+14155550100", None),
    ],
)
def test_recipient_is_magic_misbehaves(board: FaultBoard, recipient: str, name: str | None) -> None:
    assert met(board, recipient) == name


def test_recipient_takes_turns_passes_every_third_request(board: FaultBoard) -> None:
    answers = [met(board, "throttled@example.com") for _ in range(6)]
    assert answers == ["throttle", "throttle", None] * 2
    assert met(board, "throttled+other@example.com") == "throttle"


def test_order_stands_goes_before_the_magic(board: FaultBoard) -> None:
    board.set("sendgrid", order("slow", times=1))
    assert [met(board, "bounced@example.com") for _ in range(2)] == ["slow", "rejected_recipient"]


def test_magic_is_listed_every_row_has_a_recipient() -> None:
    for magic in MAGIC:
        named = [name for name in (magic.word, magic.number) if name]
        assert named
        assert all(magic_of(name) is magic for name in named)
