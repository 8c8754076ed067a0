"""The presets' numbers, as the design gives them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Options
from hermod.contracts.notifications.retries import Preset
from hermod.domain.backoff import MAX_RETRY_AFTER, SCHEDULES, asked_wait, next_delay, probe_wait

MINUTE, HOUR = 60, 3600

DELAYS = {
    Preset.NOTIFICATION: [2, 4, 8, 16, 32],
    Preset.SMS: [1, 2, 4, 8],
    Preset.FALLBACK: [2, 4],
    Preset.WEBHOOK_FAST: [1, 2, 4, 8, 16],
    Preset.WEBHOOK: [30, 2 * MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, 24 * HOUR],
    Preset.WEBHOOK_STANDARD: [
        5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR,
    ],
}  # fmt: skip


@pytest.mark.parametrize("preset", list(Preset))
def test_next_delay_without_chance_follows_the_preset_and_then_ends(preset: Preset) -> None:
    spent = range(1, SCHEDULES[preset].attempts + 1)
    delays = [next_delay(preset, number, chance=0.0) for number in spent]
    assert delays == [timedelta(seconds=seconds) for seconds in DELAYS[preset]] + [None]


def test_next_delay_of_notification_with_full_chance_adds_thirty_percent() -> None:
    assert next_delay(Preset.NOTIFICATION, 1, chance=1.0) == timedelta(seconds=2.6)


def test_next_delay_of_a_listed_preset_ignores_chance() -> None:
    assert next_delay(Preset.SMS, 1, chance=1.0) == timedelta(seconds=1)


@given(retry_after=st.floats(0, 10**6), chance=st.floats(0, 1), spent=st.integers(1, 4))
def test_retry_after_only_lengthens_and_never_beyond_a_day(retry_after: float, chance: float, spent: int) -> None:
    plain = next_delay(Preset.NOTIFICATION, spent, chance)
    asked = next_delay(Preset.NOTIFICATION, spent, chance, retry_after)
    assert plain is not None
    assert asked is not None
    assert plain <= asked <= max(plain, MAX_RETRY_AFTER)


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 2), (0.0, 0), (-5.0, 0), (30.0, 30), (10.0**9, 86_400)])
def test_asked_wait_is_bounded(retry_after: float | None, seconds: float) -> None:
    assert asked_wait(retry_after) == timedelta(seconds=seconds)


def test_probe_wait_doubles_up_to_a_quarter_of_an_hour() -> None:
    assert [probe_wait(failures).total_seconds() for failures in (0, 1, 2, 3, 6, 50)] == [30, 30, 60, 120, 900, 900]


@pytest.mark.parametrize(
    ("channel", "preset"),
    [
        (Channel.EMAIL, Preset.NOTIFICATION),
        (Channel.PUSH, Preset.NOTIFICATION),
        (Channel.SMS, Preset.SMS),
        (Channel.WHATSAPP, Preset.FALLBACK),
    ],
)
def test_channel_has_its_usual_preset_where_a_message_names_none(channel: Channel, preset: Preset) -> None:
    assert Options().preset(channel) is preset
    assert Options(retry=Preset.WEBHOOK).preset(channel) is Preset.WEBHOOK


def test_waits_of_a_message_are_made_in_their_order_and_then_end() -> None:
    waits = (2.0, 10.0, 60.0)
    delays = [next_delay(waits, spent, chance=0.0) for spent in (1, 2, 3, 4)]
    assert delays == [timedelta(seconds=2), timedelta(seconds=10), timedelta(seconds=60), None]


def test_waits_of_a_message_are_longer_by_a_fifth_at_most_and_never_shorter() -> None:
    """What failed together does not come back together."""
    assert next_delay((10.0,), 1, chance=1.0) == timedelta(seconds=12)
    assert next_delay((10.0,), 1, chance=0.0, retry_after=30.0) == timedelta(seconds=30)
