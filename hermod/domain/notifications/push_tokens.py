"""Whose token this is: each push service hands out tokens of its own form, and understands no other's."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final


class Platform(StrEnum):
    FCM = "fcm"
    APNS = "apns"
    EXPO = "expo"
    WEBPUSH = "webpush"


_EXPO: Final = re.compile(r"Expo(nent)?PushToken\[[^\[\]\s]+\]")
_APNS: Final = re.compile(r"[0-9A-Fa-f]{64,200}")
"""32 bytes in hex today. Apple says not to rely on the length, so longer ones pass."""


def platform(to: str | dict[str, Any]) -> Platform:
    """The push service that a token or subscription belongs to.

    Expo wraps its tokens in its name, Apple's are bare hex digits, a browser gives an object (`endpoint`, `keys`).
    Whatever is none of these is for Firebase, whose tokens have no form that Google promises.
    """
    if not isinstance(to, str):
        return Platform.WEBPUSH
    if _EXPO.fullmatch(to):
        return Platform.EXPO
    return Platform.APNS if _APNS.fullmatch(to) else Platform.FCM
