"""A pause that the receiver asked for, and a breaker that opens while it lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hermod.domain.webhooks.endpoint_health import ASKED, FAILING, ROW, Condition, Tally, after

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_breaker_opens_during_a_long_pause_the_pause_keeps_its_end() -> None:
    ends = NOW + timedelta(hours=6)
    paused = Condition(concurrency=10.0, max_concurrency=10, paused_until=ends, pause_reason=ASKED)
    opened = after(paused, Tally(failed=ROW, in_a_row=ROW), NOW, timedelta(hours=120))
    assert (opened.paused_until, opened.pause_reason, opened.pause_count) == (ends, FAILING, 1)


def test_breaker_opens_during_a_short_pause_its_own_pause_counts() -> None:
    paused = Condition(
        concurrency=10.0, max_concurrency=10, paused_until=NOW + timedelta(seconds=1), pause_reason=ASKED
    )
    opened = after(paused, Tally(failed=ROW, in_a_row=ROW), NOW, timedelta(hours=120))
    assert opened.paused_until == NOW + timedelta(seconds=30)
