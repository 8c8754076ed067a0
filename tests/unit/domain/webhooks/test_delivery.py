"""What follows from one request to a receiver: every kind of answer, at every place of a schedule."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hermod.contracts.notifications.retries import Preset
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from hermod.domain.webhooks.delivery import RetryState, Verdict, after
from hermod.domain.webhooks.schedules import jitter, waits
from hermod.ports.webhooks.ledger import Exchange

WAITS = (timedelta(seconds=30), timedelta(minutes=2))
FIRST = RetryState(0, WAITS, 0.0)
LAST = RetryState(2, WAITS, 0.0)


def answered(status: int, retry_after: float | None = None) -> Exchange:
    outcome = "success" if 200 <= status < 300 else "redirect" if 300 <= status < 400 else "http_error"
    return Exchange(outcome=outcome, status_code=status, retry_after=retry_after)


@pytest.mark.parametrize("standing", [FIRST, LAST])
@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_any_2xx_is_delivered_on_the_last_attempt_too(status: int, standing: RetryState) -> None:
    assert after(answered(status), standing, 0.5) == Verdict(DeliveryStatus.DELIVERED, standing.spent + 1)


@pytest.mark.parametrize(
    "exchange",
    [answered(status) for status in (301, 304, 400, 401, 404, 422, 429, 500, 502, 503, 504)]
    + [Exchange(outcome=word) for word in ("timeout", "dns", "connect", "tls", "reset", "protocol", "refused_address")],
    ids=lambda exchange: f"{exchange.outcome}-{exchange.status_code}",
)
def test_everything_else_waits_and_is_given_up_at_the_end(exchange: Exchange) -> None:
    assert after(exchange, FIRST, 0.5) == Verdict(DeliveryStatus.RETRYING, 1, WAITS[0])
    assert after(exchange, RetryState(1, WAITS, 0.0), 0.5) == Verdict(DeliveryStatus.RETRYING, 2, WAITS[1])
    assert after(exchange, LAST, 0.5) == Verdict(DeliveryStatus.FAILED, 3)


def test_410_is_given_up_at_once() -> None:
    assert after(answered(410), FIRST, 0.5) == Verdict(DeliveryStatus.FAILED, 1)


@pytest.mark.parametrize("word", ["worker_lost", "interrupted"])
@pytest.mark.parametrize("standing", [FIRST, LAST])
def test_what_our_own_side_lost_is_made_again_at_once_and_spends_nothing(word: str, standing: RetryState) -> None:
    assert after(Exchange(outcome=word), standing, 0.5) == Verdict(
        DeliveryStatus.RETRYING, standing.spent, timedelta(0)
    )


@pytest.mark.parametrize(
    ("seconds", "delay"),
    [
        (None, timedelta(seconds=30)),
        (0, timedelta(seconds=30)),
        (5, timedelta(seconds=30)),
        (31, timedelta(seconds=31)),
        (3600, timedelta(hours=1)),
        (10**9, timedelta(hours=24)),
    ],
)
def test_retry_after_lengthens_and_never_shortens_and_ends_at_a_day(seconds: float | None, delay: timedelta) -> None:
    for status in (429, 503):
        assert after(answered(status, seconds), FIRST, 0.5) == Verdict(DeliveryStatus.RETRYING, 1, delay)


def test_jitter_adds_up_to_its_share() -> None:
    delays = [after(answered(500), RetryState(0, WAITS, 0.2), chance).delay for chance in (0.0, 0.5, 1.0)]
    assert delays == [timedelta(seconds=30), timedelta(seconds=33), timedelta(seconds=36)]


def test_ordered_endpoint_that_skips_does_so_after_its_attempts_or_at_the_end_of_the_schedule() -> None:
    assert after(answered(500), RetryState(0, WAITS, 0.0, 2), 0.0).status is DeliveryStatus.RETRYING
    assert after(answered(500), RetryState(1, WAITS, 0.0, 2), 0.0) == Verdict(DeliveryStatus.SKIPPED, 2)
    assert after(answered(500), RetryState(2, WAITS, 0.0, 9), 0.0) == Verdict(DeliveryStatus.SKIPPED, 3)


@pytest.mark.parametrize(
    ("preset", "seconds"),
    [
        (Preset.WEBHOOK, [30, 120, 600, 3600, 6 * 3600, 24 * 3600]),
        (Preset.WEBHOOK_FAST, [1, 2, 4, 8, 16]),
        (Preset.WEBHOOK_STANDARD, [5, 300, 1800, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24))]),
    ],
)
def test_preset_is_run_through_waits_as_it_says(preset: Preset, seconds: list[float]) -> None:
    spent, delays = 0, []
    while True:
        verdict = after(answered(500), RetryState(spent, waits(preset), jitter(preset)), 0.0)
        spent = verdict.spent
        if verdict.delay is None:
            break
        delays.append(verdict.delay.total_seconds())
    assert delays == seconds
    assert (verdict.status, spent) == (DeliveryStatus.FAILED, len(seconds) + 1)
