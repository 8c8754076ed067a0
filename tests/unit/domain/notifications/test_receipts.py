"""What reports mean: any order of them ends alike, nothing moves backwards, and only what is doubtful is reopened."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Category, Status
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.notifications.suppressions import Reason
from hermod.domain.notifications.keywords import Keyword
from hermod.domain.notifications.receipts import Sign, Suppress, address_effect, next_status, status_shown
from hermod.domain.notifications.suppressions import LIFTED_BY_RECIPIENT, STRENGTH
from hermod.domain.states import CANCELLABLE, PROGRESS, WITHDRAWN, may_become

H, S = ReceiptEventType, Status
KINDS = st.lists(st.sampled_from(ReceiptEventType), max_size=8)
STATUSES = st.sampled_from(Status)


def after(status: Status, kinds: list[ReceiptEventType], *, has_unknown_attempt: bool) -> Status:
    was_soft = False
    for kind in kinds:
        soft, shown = kind is H.SOFT_BOUNCED, status_shown(kind)
        new = next_status(status, shown, has_unknown_attempt=has_unknown_attempt, soft=soft, was_soft=was_soft)
        if shown is S.BOUNCED:
            was_soft = soft and (was_soft or new is S.BOUNCED)
        status = new or status
    return status


@given(status=STATUSES, kinds=KINDS, has_unknown_attempt=st.booleans(), order=st.randoms(use_true_random=False))
def test_reports_in_any_order_and_number_end_in_the_same_state(
    status: Status, kinds: list[ReceiptEventType], has_unknown_attempt: bool, order: Random
) -> None:
    again = kinds * 2
    order.shuffle(again)
    assert after(status, again, has_unknown_attempt=has_unknown_attempt) is after(
        status, kinds, has_unknown_attempt=has_unknown_attempt
    )


@given(status=STATUSES, kinds=KINDS, has_unknown_attempt=st.booleans())
def test_status_never_goes_back_and_every_step_is_an_arrow(
    status: Status, kinds: list[ReceiptEventType], has_unknown_attempt: bool
) -> None:
    for kind in kinds:
        new = next_status(status, status_shown(kind), has_unknown_attempt=has_unknown_attempt)
        if new is not None:
            assert PROGRESS[new] > PROGRESS.get(status, 0)
            assert may_become(status, new)
            status = new


@pytest.mark.parametrize(
    ("kinds", "ends"),
    [
        ([H.DELIVERED, H.SOFT_BOUNCED], S.DELIVERED),
        ([H.ACCEPTED, H.SOFT_BOUNCED, H.OPENED], S.DELIVERED),
        ([H.SOFT_BOUNCED], S.BOUNCED),
        ([H.SOFT_BOUNCED, H.BOUNCED, H.DELIVERED], S.BOUNCED),
        ([H.DELIVERED, H.BOUNCED], S.BOUNCED),
        ([H.DELIVERED, H.FAILED, H.SOFT_BOUNCED], S.BOUNCED),
        ([H.DELIVERED, H.SOFT_BOUNCED, H.COMPLAINED], S.COMPLAINED),
    ],
)
def test_soft_bounce_never_stands_against_a_delivery(kinds: list[ReceiptEventType], ends: Status) -> None:
    assert {after(S.SENT, list(order), has_unknown_attempt=False) for order in permutations(kinds)} == {ends}


@pytest.mark.parametrize("status", [*sorted(WITHDRAWN), Status.SENDING])
@pytest.mark.parametrize("kind", ReceiptEventType)
def test_message_withdrawn_or_on_its_way_stays_what_it_is(status: Status, kind: ReceiptEventType) -> None:
    assert next_status(status, status_shown(kind), has_unknown_attempt=True) is None


@pytest.mark.parametrize("status", [*sorted(CANCELLABLE), Status.FAILED])
def test_message_waiting_or_given_up_is_finished_only_where_a_request_is_in_doubt(status: Status) -> None:
    assert next_status(status, status_shown(H.DELIVERED), has_unknown_attempt=False) is None
    assert next_status(status, status_shown(H.DELIVERED), has_unknown_attempt=True) is S.DELIVERED
    assert next_status(status, status_shown(H.ACCEPTED), has_unknown_attempt=True) is S.SENT


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (S.SENT, H.ACCEPTED, None),
        (S.SENT, H.DEFERRED, None),
        (S.SENT, H.DELIVERED, S.DELIVERED),
        (S.SENT, H.OPENED, S.DELIVERED),
        (S.SENT, H.CLICKED, S.DELIVERED),
        (S.SENT, H.READ, S.DELIVERED),
        (S.SENT, H.BOUNCED, S.BOUNCED),
        (S.SENT, H.SOFT_BOUNCED, S.BOUNCED),
        (S.SENT, H.FAILED, S.BOUNCED),
        (S.SENT, H.SUPPRESSED, S.BOUNCED),
        (S.SENT, H.UNREGISTERED, S.BOUNCED),
        (S.SENT, H.COMPLAINED, S.COMPLAINED),
        (S.SENT, H.UNSUBSCRIBED, None),
        (S.SENT, H.RESUBSCRIBED, None),
        (S.SENT, H.INBOUND, None),
        (S.SENT, H.UNKNOWN, None),
        (S.DELIVERED, H.BOUNCED, S.BOUNCED),
        (S.DELIVERED, H.COMPLAINED, S.COMPLAINED),
        (S.DELIVERED, H.ACCEPTED, None),
        (S.BOUNCED, H.DELIVERED, None),
        (S.COMPLAINED, H.BOUNCED, None),
        (S.UNKNOWN, H.ACCEPTED, S.SENT),
        (S.UNKNOWN, H.DEFERRED, S.SENT),
        (S.UNKNOWN, H.BOUNCED, S.BOUNCED),
        (S.UNKNOWN, H.UNKNOWN, None),
    ],
)
def test_report_moves_a_message(status: Status, kind: ReceiptEventType, expected: Status | None) -> None:
    assert next_status(status, status_shown(kind), has_unknown_attempt=False) is expected


@pytest.mark.parametrize("kind", [H.DELIVERED, H.BOUNCED, H.COMPLAINED, H.OPENED])
def test_report_about_somebody_in_copy_shows_that_the_mail_was_taken_and_no_more(kind: ReceiptEventType) -> None:
    assert status_shown(kind, other_recipient=True) is S.SENT


def test_report_about_a_copy_that_another_accounts_replaced_is_no_failure_of_the_message() -> None:
    assert status_shown(H.BOUNCED, replaced=True) is S.SENT
    assert status_shown(H.FAILED, replaced=True) is S.SENT
    assert status_shown(H.DELIVERED, replaced=True) is S.DELIVERED
    assert status_shown(H.COMPLAINED, replaced=True) is S.COMPLAINED


@pytest.mark.parametrize("channel", Channel)
@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        (H.BOUNCED, Suppress(Reason.HARD_BOUNCE)),
        (H.COMPLAINED, Suppress(Reason.COMPLAINT)),
        (H.UNREGISTERED, Suppress(Reason.UNREGISTERED)),
        (H.SUPPRESSED, Suppress(Reason.LISTED)),
        (H.RESUBSCRIBED, Sign.WANTS_AGAIN),
        (H.SOFT_BOUNCED, Sign.SOFT_BOUNCE),
        (H.DELIVERED, Sign.ALIVE),
        (H.OPENED, Sign.ALIVE),
        (H.CLICKED, Sign.ALIVE),
        (H.READ, Sign.ALIVE),
        (H.ACCEPTED, None),
        (H.DEFERRED, None),
        (H.FAILED, None),
        (H.INBOUND, None),
        (H.UNKNOWN, None),
    ],
)
def test_report_says_something_about_its_address(
    channel: Channel, kind: ReceiptEventType, meaning: Suppress | Sign | None
) -> None:
    assert address_effect(kind, channel) == meaning


def test_unsubscribe_by_mail_is_for_marketing_and_by_text_for_everything() -> None:
    assert address_effect(H.UNSUBSCRIBED, Channel.EMAIL) == Suppress(Reason.UNSUBSCRIBED, Category.MARKETING)
    assert address_effect(H.UNSUBSCRIBED, Channel.PUSH) == Suppress(Reason.UNSUBSCRIBED, Category.MARKETING)
    assert address_effect(H.UNSUBSCRIBED, Channel.SMS) == Suppress(Reason.STOP)
    assert address_effect(H.UNSUBSCRIBED, Channel.WHATSAPP) == Suppress(Reason.UNSUBSCRIBED, Category.MARKETING)


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.WHATSAPP])
def test_inbound_message_is_looked_at_for_keywords(channel: Channel) -> None:
    assert address_effect(H.INBOUND, channel, Keyword.STOP) == Suppress(Reason.STOP)
    assert address_effect(H.INBOUND, channel, Keyword.START) is Sign.WANTS_AGAIN
    assert address_effect(H.INBOUND, channel, Keyword.HELP) is None


def test_every_reason_has_a_place_in_the_order() -> None:
    assert sorted(STRENGTH) == sorted(Reason)
    assert STRENGTH[-1] is Reason.MANUAL
    assert Reason.COMPLAINT not in LIFTED_BY_RECIPIENT


def test_some_order_of_real_reports_ends_as_it_should() -> None:
    story = [H.ACCEPTED, H.DELIVERED, H.OPENED, H.COMPLAINED]
    assert {after(S.SENT, list(order), has_unknown_attempt=False) for order in permutations(story)} == {S.COMPLAINED}
