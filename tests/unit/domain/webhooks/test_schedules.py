"""What an endpoint's `retry` comes to, in waits, jitter and time-outs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hermod.contracts.notifications.retries import Preset
from hermod.contracts.webhooks.deliveries import WEBHOOK_PRESETS
from hermod.domain.webhooks.schedules import jitter, timeout, waits

HOUR = 3600.0


@pytest.mark.parametrize(
    ("retry", "seconds"),
    [
        (Preset.WEBHOOK, [30, 120, 600, HOUR, 6 * HOUR, 24 * HOUR]),
        (Preset.WEBHOOK_FAST, [1, 2, 4, 8, 16]),
        (Preset.WEBHOOK_STANDARD, [5, 300, 1800, *(hours * HOUR for hours in (2, 5, 10, 14, 20, 24))]),
        ((0.0, 1.5), [0, 1.5]),
    ],
)
def test_waits_are_those_of_the_preset_or_the_list(retry: Preset | tuple[float, ...], seconds: list[float]) -> None:
    assert [wait.total_seconds() for wait in waits(retry)] == seconds
    assert all(isinstance(wait, timedelta) for wait in waits(retry))


@pytest.mark.parametrize("retry", [*sorted(WEBHOOK_PRESETS), (1.0, 2.0)])
def test_jitter_is_there_for_every_webhook_so_that_retries_come_in_no_waves(retry: Preset | tuple[float, ...]) -> None:
    assert 0.1 <= jitter(retry) <= 0.2


@pytest.mark.parametrize(
    ("retry", "given", "seconds"),
    [(Preset.WEBHOOK, None, 15), (Preset.WEBHOOK_FAST, None, 10), ((1.0,), None, 15), (Preset.WEBHOOK_FAST, 30, 30)],
)
def test_timeout_is_the_given_one_or_the_usual_one(
    retry: Preset | tuple[float, ...], given: float | None, seconds: float
) -> None:
    assert timeout(retry, given) == seconds
