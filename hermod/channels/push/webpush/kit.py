"""Web Push, for browsers. The key of the example is that of RFC 8291's appendix, which everybody knows."""

from __future__ import annotations

from typing import Final

from hermod.channels.kit import Example, ProviderDefinition
from hermod.channels.push.webpush.sender import WebPushSender

KIT: Final = ProviderDefinition(
    adapter=WebPushSender,
    example=Example(
        credentials={
            "vapid_private_key": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
            "subject": "mailto:push@example.com",
        }
    ),
)
