"""What a provider's report means: where it brings the message, and what it says about the address. Pure.

Reports come late, twice and in any order, so a message only ever moves forward (`hermod.domain.states.PROGRESS`): any
order of the same reports ends in the same state.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Final

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Category, Status
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.notifications.suppressions import Reason
from hermod.domain.notifications.keywords import Keyword
from hermod.domain.states import CANCELLABLE, PROGRESS

SOFT_BOUNCES: Final = 5
"""So many in a row, and the address rests."""
REST: Final = timedelta(days=7)

_REACHED: Final = {
    ReceiptEventType.ACCEPTED: Status.SENT,
    ReceiptEventType.DEFERRED: Status.SENT,
    ReceiptEventType.DELIVERED: Status.DELIVERED,
    ReceiptEventType.OPENED: Status.DELIVERED,
    ReceiptEventType.CLICKED: Status.DELIVERED,
    ReceiptEventType.READ: Status.DELIVERED,
    ReceiptEventType.BOUNCED: Status.BOUNCED,
    ReceiptEventType.SOFT_BOUNCED: Status.BOUNCED,
    ReceiptEventType.FAILED: Status.BOUNCED,
    ReceiptEventType.SUPPRESSED: Status.BOUNCED,
    ReceiptEventType.UNREGISTERED: Status.BOUNCED,
    ReceiptEventType.COMPLAINED: Status.COMPLAINED,
}
"""What is missing says nothing about a message: it is about a person, or nobody knows the word."""


def status_shown(kind: ReceiptEventType, *, other_recipient: bool = False, replaced: bool = False) -> Status | None:
    """What the report shows of the message, by itself; None for nothing.

    `other_recipient`: it is about another recipient of the same mail (cc, bcc). `replaced`: another account's copy of
    the message was accepted, so that it is no failure of the message when this account's copy comes to nothing. Both
    still show that the provider took the message.
    """
    shown = _REACHED.get(kind)
    if shown is not None and (other_recipient or (replaced and shown is Status.BOUNCED)):
        return Status.SENT
    return shown


def next_status(
    status: Status, shown: Status | None, *, has_unknown_attempt: bool, soft: bool = False, was_soft: bool = False
) -> Status | None:
    """Where a message goes from `status` when a report shows `shown`; None where it stays.

    `soft`: the report is a soft bounce. `was_soft`: only soft bounces have brought the message where it is. A soft
    bounce of what was delivered is a note from a mailbox ("out of office") and no failure, whichever comes first.

    `has_unknown_attempt`: a request was made for it whose outcome nobody knows. Only then can a report finish a message
    that waits, or bring one back that was given up: it is that request which was taken, and no other must follow. While
    a request is on its way nothing moves; its outcome comes first.
    """
    if shown is None:
        return None
    if status is Status.DELIVERED and soft:
        return None
    if status is Status.BOUNCED and was_soft and shown is Status.DELIVERED:
        return shown
    if status in PROGRESS:
        return shown if PROGRESS[shown] > PROGRESS[status] else None
    if status is Status.UNKNOWN or (has_unknown_attempt and (status in CANCELLABLE or status is Status.FAILED)):
        return shown
    return None


@dataclass(frozen=True, slots=True)
class Suppress:
    """No more messages to the address on this channel; without a category, of neither."""

    reason: Reason
    category: Category | None = None


class Sign(Enum):
    """What else a report may say about an address."""

    WANTS_AGAIN = auto()
    """Its owner takes back an unsubscribe or a STOP."""
    SOFT_BOUNCE = auto()
    ALIVE = auto()
    """It takes messages: a row of soft bounces ends."""


_SUPPRESSING: Final = {
    ReceiptEventType.BOUNCED: Suppress(Reason.HARD_BOUNCE),
    ReceiptEventType.COMPLAINED: Suppress(Reason.COMPLAINT),
    ReceiptEventType.UNREGISTERED: Suppress(Reason.UNREGISTERED),
    ReceiptEventType.SUPPRESSED: Suppress(Reason.LISTED),
}
_SIGNS: Final = {
    ReceiptEventType.RESUBSCRIBED: Sign.WANTS_AGAIN,
    ReceiptEventType.SOFT_BOUNCED: Sign.SOFT_BOUNCE,
    ReceiptEventType.DELIVERED: Sign.ALIVE,
    ReceiptEventType.OPENED: Sign.ALIVE,
    ReceiptEventType.CLICKED: Sign.ALIVE,
    ReceiptEventType.READ: Sign.ALIVE,
}
_STOP: Final = Suppress(Reason.STOP)
_ASKED: Final[dict[Keyword | None, Suppress | Sign]] = {Keyword.STOP: _STOP, Keyword.START: Sign.WANTS_AGAIN}


def address_effect(kind: ReceiptEventType, channel: Channel, asked: Keyword | None = None) -> Suppress | Sign | None:
    """What the report says about its address. `asked`: the keyword of an inbound message.

    Who answers STOP to a text wants no text of any kind, and a carrier that reports an opt-out sends none. Who
    unsubscribes from mail, or switches marketing off in WhatsApp, still gets receipts and codes.
    """
    if kind is ReceiptEventType.INBOUND:
        return _ASKED.get(asked)
    if kind is ReceiptEventType.UNSUBSCRIBED:
        return _STOP if channel is Channel.SMS else Suppress(Reason.UNSUBSCRIBED, Category.MARKETING)
    return _SUPPRESSING.get(kind) or _SIGNS.get(kind)
