"""Twilio's error codes (twilio.com/docs/api/errors) and what they mean for a message and its recipient. Data only.

A code that is not listed is judged by the HTTP status: Twilio adds codes and gives old ones new meanings. The same
codes come in answers and, later, as `ErrorCode` in status callbacks.

21408 (the country is not enabled) is refused for the message and does not halt the account, although it is a setting
of the account: it depends on the number, and one message to a far country must not stop all others.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from hermod.contracts.notifications.outcomes import Fault
from hermod.contracts.notifications.receipts import ReceiptEventType


class Meaning(Enum):
    """What a code says about something else than the recipient."""

    MESSAGE = auto()
    SENDER = auto()
    """Halts the account where the sender is the account's own, else refuses the message."""
    ACCOUNT = auto()
    THROTTLED = auto()
    TRANSIENT = auto()


MEANINGS: Final[dict[str, Meaning | Fault]] = {
    "21211": Fault.INVALID,  # invalid To
    "21610": Fault.OPTED_OUT,  # STOP, or the number was given to somebody else
    "21614": Fault.INVALID,  # not a mobile number
    "30004": Fault.UNREACHABLE,  # blocked
    "30005": Fault.INVALID,  # unknown destination
    "30006": Fault.UNREACHABLE,  # landline, or a carrier that this sender cannot reach
    "30640": Fault.LISTED,  # known litigator (Compliance Toolkit)
    "63003": Fault.INVALID,  # the channel finds no such recipient
    "63024": Fault.UNREACHABLE,  # not reachable on the channel
    "21408": Meaning.MESSAGE,  # country not enabled for this account
    "21602": Meaning.MESSAGE,  # no body
    "21604": Meaning.MESSAGE,  # no To
    "21612": Meaning.MESSAGE,  # no route from this From to this To
    "21617": Meaning.MESSAGE,  # body too long
    "30007": Meaning.MESSAGE,  # filtered by the carrier for content or reputation
    "30036": Meaning.MESSAGE,  # validity period ran out
    "30450": Meaning.MESSAGE,  # taken for SMS pumping
    "63016": Meaning.MESSAGE,  # free text outside WhatsApp's window of 24 hours
    "63032": Meaning.MESSAGE,  # recipient is part of an experiment of Meta's
    "21601": Meaning.SENDER,  # From cannot send SMS
    "21606": Meaning.SENDER,  # From is not a number of this account
    "21621": Meaning.SENDER,  # From cannot send MMS
    "21659": Meaning.SENDER,  # From is no Twilio number
    "20003": Meaning.ACCOUNT,  # authentication
    "21608": Meaning.ACCOUNT,  # trial account, unverified number
    "21664": Meaning.ACCOUNT,  # FallbackFrom
    "21666": Meaning.ACCOUNT,
    "21667": Meaning.ACCOUNT,
    "30002": Meaning.ACCOUNT,  # account suspended
    "30032": Meaning.ACCOUNT,  # toll-free number not verified
    "30034": Meaning.ACCOUNT,  # number not registered for A2P 10DLC
    "63020": Meaning.ACCOUNT,  # Meta's Business Manager has not accepted Twilio's invitation
    "63062": Meaning.ACCOUNT,  # terms of Meta's Marketing Messages API not accepted
    "20429": Meaning.THROTTLED,  # too many requests; not processed
    "21611": Meaning.THROTTLED,  # the sender's queue is full
    "30001": Meaning.THROTTLED,  # queue overflow
    "63017": Meaning.THROTTLED,  # rate of the account on the channel
    "63018": Meaning.THROTTLED,  # rate of the channel
    "30003": Meaning.TRANSIENT,  # handset unreachable at the moment
    "30008": Meaning.TRANSIENT,  # unknown, not delivered
    "30610": Meaning.TRANSIENT,  # quiet hours (Compliance Toolkit)
    "63049": Meaning.TRANSIENT,  # Meta's cap on marketing for this one recipient
}

WAITS: Final = {"30610": 3_600.0, "63049": 86_400.0}
"""Seconds to wait where the code implies them."""

STATUSES: Final = {
    "queued": ReceiptEventType.ACCEPTED,
    "accepted": ReceiptEventType.ACCEPTED,
    "scheduled": ReceiptEventType.ACCEPTED,
    "sending": ReceiptEventType.ACCEPTED,
    "sent": ReceiptEventType.ACCEPTED,
    "delivered": ReceiptEventType.DELIVERED,
    "read": ReceiptEventType.READ,
    "undelivered": ReceiptEventType.FAILED,
    "failed": ReceiptEventType.FAILED,
    "canceled": ReceiptEventType.FAILED,
    "receiving": ReceiptEventType.INBOUND,
    "received": ReceiptEventType.INBOUND,
}
"""The words of MessageStatus. `sent` is the last one where the carrier returns no receipt."""

FAILURES: Final = {
    "21211": ReceiptEventType.BOUNCED,
    "21614": ReceiptEventType.BOUNCED,
    "30005": ReceiptEventType.BOUNCED,
    "63003": ReceiptEventType.BOUNCED,
    "30003": ReceiptEventType.SOFT_BOUNCED,
    "30004": ReceiptEventType.SOFT_BOUNCED,
    "30006": ReceiptEventType.SOFT_BOUNCED,
    "30008": ReceiptEventType.SOFT_BOUNCED,
    "63024": ReceiptEventType.SOFT_BOUNCED,
    "21610": ReceiptEventType.UNSUBSCRIBED,
    "30640": ReceiptEventType.SUPPRESSED,
}
"""Codes by which `undelivered` and `failed` are the recipient's doing. All others say nothing about the address."""
