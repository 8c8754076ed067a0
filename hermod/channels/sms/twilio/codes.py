"""Twilio's error codes (twilio.com/docs/api/errors) and what they mean for a message. Data only.

A code that is not listed is judged by the HTTP status: Twilio adds codes and gives old ones new meanings.

21408 (the country is not enabled) is refused for the message and does not halt the account, although it is a setting
of the account: it depends on the number, and one message to a far country must not stop all others.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class Meaning(Enum):
    RECIPIENT = auto()
    MESSAGE = auto()
    SENDER = auto()
    """Halts the account where the sender is the account's own, else refuses the message."""
    ACCOUNT = auto()
    THROTTLED = auto()
    TRANSIENT = auto()


QUIET_HOURS: Final = "30610"
QUIET_HOURS_WAIT: Final = 3600.0
"""Seconds until a message that Twilio's Compliance Toolkit held back for quiet hours is tried again."""

MEANINGS: Final[dict[str, Meaning]] = {
    "21211": Meaning.RECIPIENT,  # invalid To
    "21610": Meaning.RECIPIENT,  # opted out by STOP, or the number was given to somebody else
    "21614": Meaning.RECIPIENT,  # not a mobile number
    "30004": Meaning.RECIPIENT,  # blocked
    "30005": Meaning.RECIPIENT,  # unknown destination
    "30006": Meaning.RECIPIENT,  # landline or unreachable carrier
    "30640": Meaning.RECIPIENT,  # known litigator (Compliance Toolkit)
    "21408": Meaning.MESSAGE,  # country not enabled for this account
    "21602": Meaning.MESSAGE,  # no body
    "21604": Meaning.MESSAGE,  # no To
    "21612": Meaning.MESSAGE,  # no route from this From to this To
    "21617": Meaning.MESSAGE,  # body too long
    "30007": Meaning.MESSAGE,  # filtered by the carrier for content or reputation
    "30036": Meaning.MESSAGE,  # validity period ran out
    "30450": Meaning.MESSAGE,  # taken for SMS pumping
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
    "20429": Meaning.THROTTLED,  # too many requests; not processed
    "21611": Meaning.THROTTLED,  # the sender's queue is full
    "30001": Meaning.THROTTLED,  # queue overflow
    "63017": Meaning.THROTTLED,  # rate of the channel
    "63018": Meaning.THROTTLED,
    "30003": Meaning.TRANSIENT,  # handset unreachable at the moment
    "30008": Meaning.TRANSIENT,  # unknown, not delivered
    QUIET_HOURS: Meaning.TRANSIENT,
}
