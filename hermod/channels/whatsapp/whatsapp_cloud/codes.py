"""Meta's error codes for the WhatsApp Cloud API and what they mean for a message. Data only.

The code alone decides: the HTTP status of a code differs between editions of Meta's documentation, and the same codes
come in answers and, later, in webhooks. A code that is not listed is judged by the HTTP status.

Against Meta's own grouping, three codes that depend on the message do not halt the account: 130497 (the recipient's
country), 131063 (marketing templates) and 135000 (something about the parameters).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from hermod.contracts.notifications.outcomes import Fault
from hermod.contracts.notifications.receipts import ReceiptEventType


class Meaning(Enum):
    """What a code says about something else than the recipient."""

    MESSAGE = auto()
    ACCOUNT = auto()
    THROTTLED = auto()
    PAIR_THROTTLED = auto()
    """Too much for this one recipient, so the account need not rest. Meta asks to wait 4, 16, 64 … seconds."""
    TRANSIENT = auto()
    UNKNOWN = auto()
    """Meta does not say whether the message was taken."""


MEANINGS: Final[dict[str, Meaning | Fault]] = {
    "1": Meaning.UNKNOWN,  # unknown error
    "2": Meaning.UNKNOWN,  # temporary trouble of the API
    "131000": Meaning.UNKNOWN,  # something went wrong
    "131016": Meaning.TRANSIENT,  # a service is not available
    "131057": Meaning.TRANSIENT,  # the account is under maintenance
    "133004": Meaning.TRANSIENT,  # the server is not available
    "131049": Meaning.TRANSIENT,  # Meta's cap on marketing for this one recipient
    "132069": Meaning.TRANSIENT,  # the template's flow is throttled
    "4": Meaning.THROTTLED,  # calls of the app
    "80007": Meaning.THROTTLED,  # rate of the business account
    "130429": Meaning.THROTTLED,  # throughput of the number
    "131048": Meaning.THROTTLED,  # restricted because recipients took it for spam
    "131056": Meaning.PAIR_THROTTLED,  # too many messages to this recipient
    "131021": Fault.UNREACHABLE,  # the recipient is the sender
    "131026": Fault.UNREACHABLE,  # not on WhatsApp, an old client, terms not accepted
    "131030": Fault.UNREACHABLE,  # not on the list of a test number
    "131050": Fault.OPTED_OUT,  # stopped our marketing messages
    "131062": Fault.UNREACHABLE,  # known by a user id only
    "137000": Fault.UNREACHABLE,  # identity key does not fit
    "100": Meaning.MESSAGE,  # invalid parameter
    "130472": Meaning.MESSAGE,  # the recipient is part of an experiment of Meta's
    "130497": Meaning.MESSAGE,  # not allowed to message this country
    "131008": Meaning.MESSAGE,  # parameter missing
    "131009": Meaning.MESSAGE,  # parameter value
    "131047": Meaning.MESSAGE,  # outside the window of 24 hours: a template is needed
    "131051": Meaning.MESSAGE,  # unsupported type
    "131052": Meaning.MESSAGE,  # media could not be downloaded
    "131053": Meaning.MESSAGE,  # media could not be uploaded
    "131063": Meaning.MESSAGE,  # marketing templates are not sent through this endpoint
    "132000": Meaning.MESSAGE,  # number of parameters
    "132001": Meaning.MESSAGE,  # no such template in this language
    "132005": Meaning.MESSAGE,  # too long once filled in
    "132007": Meaning.MESSAGE,  # against the policy
    "132008": Meaning.MESSAGE,  # format of the parameters
    "132012": Meaning.MESSAGE,
    "132015": Meaning.MESSAGE,  # template paused
    "132016": Meaning.MESSAGE,  # template disabled
    "132068": Meaning.MESSAGE,  # flow blocked
    "135000": Meaning.MESSAGE,  # unknown error with the parameters
    "0": Meaning.ACCOUNT,  # authentication
    "3": Meaning.ACCOUNT,  # permission
    "10": Meaning.ACCOUNT,
    **dict.fromkeys(map(str, range(200, 300)), Meaning.ACCOUNT),
    "33": Meaning.ACCOUNT,  # the number was deleted
    "190": Meaning.ACCOUNT,  # token expired
    "368": Meaning.ACCOUNT,  # blocked for violations of the policy
    "131005": Meaning.ACCOUNT,  # access denied
    "131031": Meaning.ACCOUNT,  # account locked
    "131037": Meaning.ACCOUNT,  # display name not approved
    "131042": Meaning.ACCOUNT,  # payment
    "131045": Meaning.ACCOUNT,  # number not registered
    "131064": Meaning.ACCOUNT,
    "133010": Meaning.ACCOUNT,  # number not registered
}

WAITS: Final = {"131048": 7_200.0, "131049": 86_400.0, "132069": 3_600.0}
"""Seconds to wait where Meta says how long such a thing takes; it sends no Retry-After."""

STATUSES: Final = {
    "sent": ReceiptEventType.ACCEPTED,
    "delivered": ReceiptEventType.DELIVERED,
    "read": ReceiptEventType.READ,
    "played": ReceiptEventType.READ,
    "failed": ReceiptEventType.FAILED,
}

FAILURES: Final = {
    "131026": ReceiptEventType.SOFT_BOUNCED,
    "131050": ReceiptEventType.UNSUBSCRIBED,
}
"""Codes by which `failed` is the recipient's doing. All others say nothing about the address."""

PREFERENCES: Final = {"stop": ReceiptEventType.UNSUBSCRIBED, "resume": ReceiptEventType.RESUBSCRIBED}
"""What a person did with the switch for a business's marketing messages."""
