"""What a heartbeat carries to the next try: outcomes, each of its very grant."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.notifications import heartbeat_details as messages
from activities.notifications.heartbeat_details import told_of
from activities.notifications.requests import NOT_STARTED
from activities.webhooks import heartbeat_details as webhooks
from activities.webhooks.transitions import INTERRUPTED, NOT_MADE
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from hermod.ports.notifications.ledger import InFlight, Result
from hermod.ports.webhooks.ledger import Exchange, WebhookResult

ENDS_BY = datetime(2026, 11, 30, 12, 0, 0, 120_000, tzinfo=UTC)
THIS = InFlight(ends_by=ENDS_BY)
ANOTHER = InFlight(ends_by=ENDS_BY + timedelta(microseconds=1))
GOOD = Exchange(outcome="success", status_code=200, duration_ms=7)


def message(outcome: AnyOutcome) -> list[Any]:
    result = Result(
        message="m",
        number=2,
        account="main",
        outcome=outcome,
        duration_ms=7,
        status=Status.RETRYING,
        round=1,
        spent=0,
        next_attempt_at=None,
        decision=None,
        ends_by=ENDS_BY,
    )
    return sent(messages.encode([result]))


def delivery(exchange: Exchange) -> list[Any]:
    result = WebhookResult(
        delivery="d",
        number=2,
        exchange=exchange,
        status=DeliveryStatus.RETRYING,
        spent=0,
        next_attempt_at=None,
        wait_reason=None,
        ends_by=ENDS_BY,
    )
    return sent(webhooks.encode([result]))


def sent(details: list[list[Any]]) -> list[Any]:
    """As the server gives them to the next try."""
    return [json.loads(json.dumps(details))]


def of_before(details: list[Any]) -> list[Any]:
    """As a worker of the version before left them: without the name of the grant."""
    return [[one[:-1] for one in details[0]]]


@pytest.mark.parametrize("outcome", [Accepted(provider_id="p"), NOT_STARTED])
def test_outcome_is_that_of_its_grant_and_of_no_other(outcome: AnyOutcome) -> None:
    carried = messages.decode(message(outcome))
    told = told_of(carried, "m", 2, THIS)
    assert told is not None
    assert (told[0].kind, told[0].error_code, told[1]) == (outcome.kind, outcome.error_code, 7)
    assert told_of(carried, "m", 2, ANOTHER) is None
    assert told_of(carried, "m", 3, THIS) is None


@pytest.mark.parametrize("exchange", [GOOD, NOT_MADE])
def test_exchange_is_that_of_its_grant_and_of_no_other(exchange: Exchange) -> None:
    carried = webhooks.decode(delivery(exchange))
    told = told_of(carried, "d", 2, THIS)
    assert told is not None
    assert (told.outcome, told.status_code) == (exchange.outcome, exchange.status_code)
    assert told_of(carried, "d", 2, ANOTHER) is None
    assert told_of(carried, "d", 3, THIS) is None


def test_outcome_from_the_version_before_is_read_and_a_request_that_it_did_not_make_is_not_believed() -> None:
    carried = messages.decode(of_before(message(Accepted(provider_id="p"))))
    told = told_of(carried, "m", 2, THIS)
    assert told is not None
    assert told[0] == Accepted(provider_id="p")
    assert messages.decode(of_before(message(NOT_STARTED))) == {}


def test_exchange_from_the_version_before_is_read_and_a_request_that_it_did_not_make_is_not_believed() -> None:
    for exchange in (GOOD, INTERRUPTED):
        told = told_of(webhooks.decode(of_before(delivery(exchange))), "d", 2, THIS)
        assert told is not None
        assert told.outcome == exchange.outcome
    assert webhooks.decode(of_before(delivery(NOT_MADE))) == {}
