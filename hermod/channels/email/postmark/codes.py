"""Postmark's numbers: the ErrorCode of an answer, and what its webhooks call a bounce. Data only.

An ErrorCode that is not listed is judged by the HTTP status. The numbers look like HTTP's and have nothing to do with
them. 300 stands for every fault of a request, a recipient that cannot be parsed among them, so it says nothing about
an address; 406 does: Postmark keeps it as inactive after a hard bounce, a complaint, or by hand.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from hermod.contracts.notifications.receipts import ReceiptEventType


class Meaning(Enum):
    LISTED = auto()
    MESSAGE = auto()
    SENDER = auto()
    """Halts the account where the sender is the account's own, else refuses the message."""
    ACCOUNT = auto()
    TRANSIENT = auto()


MEANINGS: Final[dict[str, Meaning]] = {
    "10": Meaning.ACCOUNT,  # bad or missing token
    "100": Meaning.TRANSIENT,  # maintenance: the API is offline, and takes nothing
    "300": Meaning.MESSAGE,  # invalid email request
    "400": Meaning.SENDER,  # no such sender signature
    "401": Meaning.SENDER,  # the sender signature is not confirmed
    "402": Meaning.MESSAGE,  # invalid JSON
    "403": Meaning.MESSAGE,  # a field of the wrong type
    "405": Meaning.ACCOUNT,  # out of credits
    "406": Meaning.LISTED,  # inactive recipient
    "409": Meaning.ACCOUNT,  # the Accept or Content-Type header got lost on the way
    "410": Meaning.MESSAGE,  # more than 500 in a batch
    "411": Meaning.MESSAGE,  # a file with a forbidden ending
    "412": Meaning.ACCOUNT,  # the account waits for approval
    "413": Meaning.ACCOUNT,  # the account may not send
    "1226": Meaning.ACCOUNT,  # no such message stream
}

RECORDS: Final[dict[str, ReceiptEventType]] = {
    "Delivery": ReceiptEventType.DELIVERED,
    "Open": ReceiptEventType.OPENED,
    "Click": ReceiptEventType.CLICKED,
    "SpamComplaint": ReceiptEventType.COMPLAINED,
}
"""What a webhook's RecordType means. Bounces go by their Type, changes of a subscription by their reason."""

BOUNCES: Final[dict[str, ReceiptEventType]] = {
    "HardBounce": ReceiptEventType.BOUNCED,
    "BadEmailAddress": ReceiptEventType.BOUNCED,
    "SoftBounce": ReceiptEventType.SOFT_BOUNCED,
    "Blocked": ReceiptEventType.SOFT_BOUNCED,  # the receiver refuses the sender's server or content
    "Unknown": ReceiptEventType.SOFT_BOUNCED,  # a bounce that Postmark could not classify
    "Transient": ReceiptEventType.DEFERRED,
    "DnsError": ReceiptEventType.DEFERRED,
    "ManuallyDeactivated": ReceiptEventType.SUPPRESSED,
    "SpamNotification": ReceiptEventType.COMPLAINED,
    "SpamComplaint": ReceiptEventType.COMPLAINED,
    "Unsubscribe": ReceiptEventType.UNSUBSCRIBED,
    "VirusNotification": ReceiptEventType.FAILED,
    "DMARCPolicy": ReceiptEventType.FAILED,
    "SMTPApiError": ReceiptEventType.FAILED,
    "TemplateRenderingFailed": ReceiptEventType.FAILED,
    "Unconfirmed": ReceiptEventType.FAILED,
    # Answers to the mail and mail from elsewhere: they say nothing about whether it arrived.
    "Subscribe": ReceiptEventType.UNKNOWN,
    "AutoResponder": ReceiptEventType.UNKNOWN,
    "AddressChange": ReceiptEventType.UNKNOWN,
    "OpenRelayTest": ReceiptEventType.UNKNOWN,
    "ChallengeVerification": ReceiptEventType.UNKNOWN,
    "InboundError": ReceiptEventType.UNKNOWN,
}

SUPPRESSIONS: Final[dict[str, ReceiptEventType]] = {
    "ManualSuppression": ReceiptEventType.UNSUBSCRIBED,
    "HardBounce": ReceiptEventType.BOUNCED,
    "SpamComplaint": ReceiptEventType.COMPLAINED,
}
"""Why Postmark has stopped sending to an address (SubscriptionChange)."""
