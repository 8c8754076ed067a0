"""Expo, for apps that are built with it."""

from __future__ import annotations

from typing import Final

from hermod.channels.kit import Example, ProviderDefinition
from hermod.channels.push.expo.sender import ExpoSender

KIT: Final = ProviderDefinition(
    adapter=ExpoSender,
    example=Example(credentials={"access_token": "token-of-the-expo-account"}),
    polled=True,
)
