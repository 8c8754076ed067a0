"""FCM's error codes (firebase.google.com/docs/cloud-messaging/error-codes) and what they mean. Data only.

They stand in the `FcmError` of an answer; the `status` beside it, the same for all of Google's services, is used where
there is none. INTERNAL and UNAVAILABLE are not listed: they come with 500 and 503, and mean to Google a request that
was not processed *in time*, which may still be processed. So they are unknown, as any 5xx is.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class Meaning(Enum):
    UNREGISTERED = auto()
    WRONG_TOKEN = auto()
    """A device of another project's."""
    ARGUMENT = auto()
    """The token's fault where the answer names its field, else the message's."""
    THROTTLED = auto()
    ACCOUNT = auto()


QUOTA_WAIT: Final = 60.0
"""Seconds to wait after QUOTA_EXCEEDED where the answer does not say: the quota is one for a minute."""
UNAUTHENTICATED: Final = "UNAUTHENTICATED"
"""The status of an access token that is not valid (any more)."""

INVALID_TOKEN: Final = "The registration token is not a valid FCM registration token"
"""What FCM says with INVALID_ARGUMENT about a token that is none.

The one sentence of a vendor that is looked at: since Google left out the field's name (`message.token`) in this answer,
nothing else tells it from a fault of the content. Should Google reword it, such messages are refused for their content
again, and no token comes to harm.
"""

MEANINGS: Final[dict[str, Meaning]] = {
    "UNREGISTERED": Meaning.UNREGISTERED,
    "SENDER_ID_MISMATCH": Meaning.WRONG_TOKEN,
    "INVALID_ARGUMENT": Meaning.ARGUMENT,
    "QUOTA_EXCEEDED": Meaning.THROTTLED,
    "RESOURCE_EXHAUSTED": Meaning.THROTTLED,
    "THIRD_PARTY_AUTH_ERROR": Meaning.ACCOUNT,
}
