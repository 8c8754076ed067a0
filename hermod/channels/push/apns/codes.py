"""APNs' reasons (developer.apple.com, "Handling notification responses from APNs") and what they mean. Data only.

A reason that is not listed is judged by the HTTP status. InternalServerError is not listed, so that it is unknown like
any other 500; with ServiceUnavailable and Shutdown, Apple says that it did not handle the request.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class Meaning(Enum):
    WRONG_TOKEN = auto()
    """Not a device of this app in this environment. Where it is said of every token, the account is set up wrong."""
    UNREGISTERED = auto()
    MESSAGE = auto()
    ACCOUNT = auto()
    LATER = auto()
    """Not taken now: nothing is wrong with the account."""
    THROTTLED = auto()


EXPIRED_JWT: Final = "ExpiredProviderToken"
"""Not processed; with a new token it is tried again at once."""
NEW_CONNECTION: Final = frozenset({"Shutdown", "UnrelatedKeyIdInToken"})
"""The next request has to go out on another connection."""
TOO_MANY_JWTS_WAIT: Final = 20 * 60.0
"""Seconds until Apple takes another token after TooManyProviderTokenUpdates."""

MEANINGS: Final[dict[str, Meaning]] = {
    "BadDeviceToken": Meaning.WRONG_TOKEN,
    "DeviceTokenNotForTopic": Meaning.WRONG_TOKEN,
    "Unregistered": Meaning.UNREGISTERED,
    "ExpiredToken": Meaning.UNREGISTERED,
    "BadCollapseId": Meaning.MESSAGE,
    "BadExpirationDate": Meaning.MESSAGE,
    "BadMessageId": Meaning.MESSAGE,
    "BadPriority": Meaning.MESSAGE,
    "DuplicateHeaders": Meaning.MESSAGE,
    "InvalidPushType": Meaning.MESSAGE,
    "MissingDeviceToken": Meaning.MESSAGE,
    "PayloadEmpty": Meaning.MESSAGE,
    "PayloadTooLarge": Meaning.MESSAGE,
    "BadPath": Meaning.MESSAGE,
    "MethodNotAllowed": Meaning.MESSAGE,
    "BadTopic": Meaning.ACCOUNT,
    "MissingTopic": Meaning.ACCOUNT,
    "TopicDisallowed": Meaning.ACCOUNT,
    "BadCertificate": Meaning.ACCOUNT,
    "BadCertificateEnvironment": Meaning.ACCOUNT,
    "BadEnvironmentKeyIdInToken": Meaning.ACCOUNT,
    "BadEnvironmentKeyInToken": Meaning.ACCOUNT,  # the spelling that was seen
    EXPIRED_JWT: Meaning.ACCOUNT,  # again, with a token just made: the clock is wrong
    "Forbidden": Meaning.ACCOUNT,
    "InvalidProviderToken": Meaning.ACCOUNT,
    "MissingProviderToken": Meaning.ACCOUNT,
    "IdleTimeout": Meaning.LATER,
    "ServiceUnavailable": Meaning.LATER,
    "Shutdown": Meaning.LATER,
    "UnrelatedKeyIdInToken": Meaning.LATER,
    "TooManyRequests": Meaning.LATER,  # to this one device
    "TooManyProviderTokenUpdates": Meaning.THROTTLED,
}
