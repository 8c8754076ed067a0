"""Expo's error codes (docs.expo.dev, "Send notifications with the Expo Push Service") and what they mean. Data only.

A request as a whole is refused with `errors[].code`; a single message with `details.error`, in its ticket or, after
Expo has handed it to Apple or Google, in its receipt. Codes that are not listed are judged by the HTTP status, in a
ticket they refuse the message.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from hermod.contracts.notifications.receipts import ReceiptEventType


class Meaning(Enum):
    UNREGISTERED = auto()
    MESSAGE = auto()
    LATER = auto()
    """Not taken now. It concerns one device, so the account goes on."""
    THROTTLED = auto()
    ACCOUNT = auto()


REQUESTS: Final[dict[str, Meaning]] = {
    "TOO_MANY_REQUESTS": Meaning.THROTTLED,  # 600 notifications a second for one project
    "UNAUTHORIZED": Meaning.ACCOUNT,  # access token missing or wrong
    "PUSH_TOO_MANY_EXPERIENCE_IDS": Meaning.MESSAGE,  # tokens of several projects in one request
    "PUSH_TOO_MANY_NOTIFICATIONS": Meaning.MESSAGE,  # more than 100 messages in one request
}

TICKETS: Final[dict[str, Meaning]] = {
    "DeviceNotRegistered": Meaning.UNREGISTERED,  # the app was removed, or its permission to notify
    "MessageTooBig": Meaning.MESSAGE,  # more than 4096 bytes
    "MessageRateExceeded": Meaning.LATER,  # too many messages to this device
    "MismatchSenderId": Meaning.ACCOUNT,  # Google's key is of another project
    "InvalidCredentials": Meaning.ACCOUNT,  # Apple's or Google's key has expired or was revoked
}

RECEIPTS: Final[dict[str, ReceiptEventType]] = {
    "DeviceNotRegistered": ReceiptEventType.UNREGISTERED,
    "MessageTooBig": ReceiptEventType.FAILED,
    "MessageRateExceeded": ReceiptEventType.FAILED,
    "MismatchSenderId": ReceiptEventType.FAILED,
    "InvalidCredentials": ReceiptEventType.FAILED,
}
