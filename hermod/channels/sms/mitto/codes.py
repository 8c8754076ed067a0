"""What Mitto answers and reports (docs.mitto.ch), and what it means for a message. Data only.

A `responseCode` beyond these is documented nowhere; whether the message was taken then, nobody knows.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from hermod.contracts.notifications.outcomes import Fault
from hermod.contracts.notifications.receipts import ReceiptEventType


class Meaning(Enum):
    TAKEN = auto()
    UNKNOWN = auto()
    MESSAGE = auto()
    SENDER = auto()
    """Halts the account where the sender is the account's own, else refuses the message."""


MEANINGS: Final[dict[str, Meaning | Fault]] = {
    "0": Meaning.TAKEN,
    "1": Meaning.UNKNOWN,  # internal error
    "2": Meaning.MESSAGE,  # invalid type
    "3": Meaning.MESSAGE,  # empty text
    "4": Meaning.MESSAGE,  # invalid text
    "5": Meaning.SENDER,  # empty sender
    "6": Meaning.SENDER,  # invalid sender
    "7": Meaning.MESSAGE,  # empty receiver
    "8": Fault.INVALID,  # invalid receiver
}

STATUSES: Final = {
    "BUFFERED": ReceiptEventType.DEFERRED,
    "SENT": ReceiptEventType.ACCEPTED,
    "DELIVERED": ReceiptEventType.DELIVERED,
    "UNDELIVERED": ReceiptEventType.SOFT_BOUNCED,
    "EXPIRED": ReceiptEventType.SOFT_BOUNCED,
    "FAILED": ReceiptEventType.FAILED,
}
"""Known from integrations only, not from Mitto, so none of them condemns an address for good."""
