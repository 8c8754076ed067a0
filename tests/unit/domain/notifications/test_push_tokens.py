"""Whose token it is, by its form alone."""

from __future__ import annotations

from typing import Any

import pytest

from hermod.domain.notifications.push_tokens import Platform, platform

SUBSCRIPTION = {"endpoint": "https://push.example.com/x", "keys": {"p256dh": "BA", "auth": "AA"}}


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]", Platform.EXPO),
        ("ExpoPushToken[xxxxxxxxxxxxxxxxxxxxxx]", Platform.EXPO),
        ("ab" * 32, Platform.APNS),
        ("AB" * 32, Platform.APNS),
        ("0f" * 80, Platform.APNS),
        (SUBSCRIPTION, Platform.WEBPUSH),
        ("cJ9kQ0aTRk2:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx", Platform.FCM),
        ("ExpoPushToken[]", Platform.FCM),
        ("expopushtoken[abc]", Platform.FCM),
        ("ExponentPushToken[a b]", Platform.FCM),
        (" ExponentPushToken[abc]", Platform.FCM),
        ("ExponentPushToken[abc]\n", Platform.FCM),
        ("ab" * 31, Platform.FCM),
        ("ab" * 31 + "ag", Platform.FCM),
        ("ab" * 32 + "\n", Platform.FCM),
    ],
)
def test_platform_of_a_token_is_told_by_its_form(to: str | dict[str, Any], expected: Platform) -> None:
    assert platform(to) is expected
