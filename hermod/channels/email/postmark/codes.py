"""Postmark's numbers: the ErrorCode of an answer, and what its webhooks call a bounce. Data only.

An ErrorCode that is not listed is judged by the HTTP status. The numbers look like HTTP's and have nothing to do with
them. 300 stands for every fault of a request, a recipient that cannot be parsed among them, so it says nothing about
an address; 406 does: Postmark keeps it as inactive after a hard bounce, a complaint, or by hand.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from hermod.contracts.notifications.receipts import Happening


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

RECORDS: Final[dict[str, Happening]] = {
    "Delivery": Happening.DELIVERED,
    "Open": Happening.OPENED,
    "Click": Happening.CLICKED,
    "SpamComplaint": Happening.COMPLAINED,
}
"""What a webhook's RecordType means. Bounces go by their Type, changes of a subscription by their reason."""

BOUNCES: Final[dict[str, Happening]] = {
    "HardBounce": Happening.BOUNCED,
    "BadEmailAddress": Happening.BOUNCED,
    "SoftBounce": Happening.SOFT_BOUNCED,
    "Blocked": Happening.SOFT_BOUNCED,  # the receiver refuses the sender's server or content
    "Unknown": Happening.SOFT_BOUNCED,  # a bounce that Postmark could not classify
    "Transient": Happening.DEFERRED,
    "DnsError": Happening.DEFERRED,
    "ManuallyDeactivated": Happening.SUPPRESSED,
    "SpamNotification": Happening.COMPLAINED,
    "SpamComplaint": Happening.COMPLAINED,
    "Unsubscribe": Happening.UNSUBSCRIBED,
    "VirusNotification": Happening.FAILED,
    "DMARCPolicy": Happening.FAILED,
    "SMTPApiError": Happening.FAILED,
    "TemplateRenderingFailed": Happening.FAILED,
    "Unconfirmed": Happening.FAILED,
    # Answers to the mail and mail from elsewhere: they say nothing about whether it arrived.
    "Subscribe": Happening.UNKNOWN,
    "AutoResponder": Happening.UNKNOWN,
    "AddressChange": Happening.UNKNOWN,
    "OpenRelayTest": Happening.UNKNOWN,
    "ChallengeVerification": Happening.UNKNOWN,
    "InboundError": Happening.UNKNOWN,
}

SUPPRESSIONS: Final[dict[str, Happening]] = {
    "ManualSuppression": Happening.UNSUBSCRIBED,
    "HardBounce": Happening.BOUNCED,
    "SpamComplaint": Happening.COMPLAINED,
}
"""Why Postmark has stopped sending to an address (SubscriptionChange)."""
