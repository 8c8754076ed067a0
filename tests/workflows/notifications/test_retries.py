"""Retries with time skipped: the exact delays of every preset, as the ledger's attempts show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from hermod.contracts.notifications.content import Channel, Email
from hermod.contracts.notifications.messages import Guarantee, MessageView, Outcome, Resolution, Status
from hermod.contracts.notifications.outcomes import Accepted, OutcomeUnknown, Throttled, Transient
from hermod.contracts.notifications.retries import Preset, RetryDefaults
from hermod.domain.backoff import SCHEDULES
from tests.support.product import ProductFixture

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")
CLOCKS_DIFFER = 0.5
"""Seconds by which the server's clock, which skips time, and the worker's are apart."""
BUSY = 30.0
"""Seconds that a busy machine may take from a timer's end to the attempt."""


def waits(view: MessageView) -> list[float]:
    """Seconds from each attempt to the next."""
    starts = [attempt.started_at for attempt in view.attempts]
    return [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]


@pytest.mark.parametrize("preset", list(Preset))
async def test_preset_makes_its_attempts_at_its_exact_delays_then_gives_up(
    skipping: ProductFixture, preset: Preset
) -> None:
    await skipping.add_account("main")
    skipping.script("main", Transient(status_code=451))
    receipt = await skipping.hermod.send(LETTER, retry=preset)
    view = await skipping.ended(receipt.id)
    assert view.status is Status.FAILED
    schedule = SCHEDULES[preset]
    assert len(view.attempts) == schedule.attempts
    for number, waited in enumerate(waits(view), start=1):
        shortest = schedule.delay(number).total_seconds()
        longest = shortest * (1 + schedule.jitter)
        assert shortest - CLOCKS_DIFFER <= waited <= longest + BUSY


async def test_message_names_its_waits_makes_its_attempts_at_these_then_gives_up(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    skipping.script("main", Transient(status_code=451))
    receipt = await skipping.hermod.send(LETTER, retry=["2s", "10s", "1h"])
    view = await skipping.ended(receipt.id)
    assert (view.status, view.retry, len(view.attempts)) == (Status.FAILED, (2.0, 10.0, 3600.0), 4)
    for asked, waited in zip((2, 10, 3600), waits(view), strict=True):
        assert asked - CLOCKS_DIFFER <= waited <= asked * 1.2 + BUSY


async def test_account_has_waits_of_its_own_they_count_for_messages_that_name_none(skipping: ProductFixture) -> None:
    await skipping.add_account("main", retry=(600,))
    skipping.script("main", Transient(status_code=451))
    plain = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    assert (plain.retry, plain.retry_from, len(plain.attempts)) == ((600.0,), "account", 2)
    assert waits(plain)[0] >= 600 - CLOCKS_DIFFER
    named = await skipping.ended((await skipping.hermod.send(LETTER, retry=[1, 1])).id)
    assert (named.retry_from, len(named.attempts)) == ("message", 3)


async def test_tenant_and_channel_have_waits_the_channels_count(skipping: ProductFixture) -> None:
    core, tenant = skipping.hermod.core, skipping.hermod.tenant
    defaults = RetryDefaults(default=(1,), channels={Channel.EMAIL: (1, 1)})
    await core.storage.retry_defaults.put(tenant, defaults, actor="test", now=core.clock.now())
    await skipping.add_account("main")
    skipping.script("main", Transient(status_code=451))
    receipts = (await skipping.hermod.send_many([LETTER] * 2)).receipts
    views = [await skipping.ended(receipt.id) for receipt in receipts]
    assert [(view.retry_from, len(view.attempts)) for view in views] == [("channel", 3)] * 2


async def test_retry_after_a_transient_fault_is_sent_and_every_step_is_recorded(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    skipping.script("main", Transient(status_code=451), Accepted(provider_id="p1"))
    receipt = await skipping.hermod.send(LETTER)
    view = await skipping.ended(receipt.id)
    assert view.status is Status.SENT
    assert [attempt.outcome for attempt in view.attempts] == [Outcome.TRANSIENT, Outcome.ACCEPTED]
    assert [decision.kind for decision in view.decisions] == ["route", "retry", "route"]
    assert view.error is None
    assert view.next_attempt_at is None


async def test_throttled_for_an_hour_spends_no_attempt(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    throttled = Throttled(status_code=429, retry_after=600)
    skipping.script("main", *[throttled] * 6, Accepted())
    receipt = await skipping.hermod.send(LETTER, retry=Preset.FALLBACK)
    view = await skipping.ended(receipt.id)
    assert view.status is Status.SENT
    assert len(view.attempts) == 7
    assert all(waited >= 600 - CLOCKS_DIFFER for waited in waits(view))


async def test_scheduled_message_is_sent_when_it_is_due(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    due = datetime.now(UTC) + timedelta(days=3)
    receipt = await skipping.hermod.send(LETTER, send_at=due)
    view = await skipping.ended(receipt.id)
    assert view.status is Status.SENT
    assert abs((view.attempts[0].started_at - due).total_seconds()) < 2


async def test_message_past_its_time_expires_without_another_attempt(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    skipping.script("main", Transient())
    receipt = await skipping.hermod.send(
        LETTER, retry=Preset.WEBHOOK, not_after=datetime.now(UTC) + timedelta(minutes=1)
    )
    view = await skipping.ended(receipt.id)
    assert view.status is Status.EXPIRED
    assert len(view.attempts) == 2
    assert view.decisions[-1].verdict == "expired"


async def test_unknown_outcome_under_at_most_once_waits_for_an_operator_who_says_not_sent(
    skipping: ProductFixture,
) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", OutcomeUnknown(), Accepted())
    receipt = await skipping.hermod.send(LETTER, guarantee=Guarantee.AT_MOST_ONCE)
    view = await skipping.ended(receipt.id)
    assert view.status is Status.UNKNOWN
    assert len(script.sent) == 1
    await skipping.hermod.resolve(receipt.id, Resolution(outcome="not_sent"))
    view = await skipping.reached(receipt.id, Status.SENT)
    assert [attempt.outcome for attempt in view.attempts] == [Outcome.UNKNOWN, Outcome.ACCEPTED]


async def test_unknown_outcome_under_at_most_once_with_an_idempotency_key_is_repeated_there_only(
    skipping: ProductFixture,
) -> None:
    await skipping.add_account("keyed")
    await skipping.add_account("other", order=20)
    skipping.script("keyed", OutcomeUnknown(), Transient(), Transient(), Accepted(), idempotent=True)
    other = skipping.script("other", Accepted())
    receipt = await skipping.hermod.send(LETTER, guarantee=Guarantee.AT_MOST_ONCE)
    view = await skipping.ended(receipt.id)
    assert view.status is Status.SENT
    assert {attempt.account for attempt in view.attempts} == {"keyed"}
    assert not other.sent


async def test_unknown_outcome_under_at_least_once_is_sent_again_by_the_next_account(skipping: ProductFixture) -> None:
    await skipping.add_account("first")
    await skipping.add_account("second", order=20)
    skipping.script("first", OutcomeUnknown())
    receipt = await skipping.hermod.send(LETTER)
    view = await skipping.ended(receipt.id)
    assert view.status is Status.SENT
    assert [(attempt.account, attempt.outcome) for attempt in view.attempts] == [
        ("first", Outcome.UNKNOWN),
        ("second", Outcome.ACCEPTED),
    ]


async def test_unknown_outcome_is_not_repeated_once_the_provider_has_forgotten_the_key(
    skipping: ProductFixture,
) -> None:
    """A key is kept for a day: after two days of throttling, a repeat would be a second message."""
    await skipping.add_account("keyed")
    day = Throttled(status_code=429, retry_after=24 * 3600)
    script = skipping.script("keyed", OutcomeUnknown(), day, day, Accepted(), idempotent=True)
    receipt = await skipping.hermod.send(LETTER, guarantee=Guarantee.AT_MOST_ONCE)
    view = await skipping.ended(receipt.id)
    assert view.status is Status.UNKNOWN
    assert len(script.sent) == 2
    assert "would not recognise a repeat" in view.decisions[-1].reason


async def test_dead_letter_whose_first_outcome_is_unknown_does_not_say_that_nothing_was_taken(
    skipping: ProductFixture,
) -> None:
    await skipping.add_account("main")
    skipping.script("main", OutcomeUnknown(error_code="timeout"), Transient(status_code=451))
    view = await skipping.ended((await skipping.hermod.send(LETTER, retry=Preset.FALLBACK)).id)
    assert (view.status, view.attempts[0].outcome) == (Status.FAILED, Outcome.UNKNOWN)
    assert not [decision.reason for decision in view.decisions if "nothing was taken" in decision.reason]
    assert view.decisions[-1].reason == (
        "a passing fault; the provider did not take this request; no retry is left after 3 rounds; "
        "what became of an earlier request is unknown, so it may have arrived"
    )
