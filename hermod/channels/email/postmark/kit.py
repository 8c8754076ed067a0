"""Postmark, by ActiveCampaign."""

from __future__ import annotations

from typing import Final

from hermod.channels.email.postmark.receipts import PostmarkReceipts
from hermod.channels.email.postmark.sender import PostmarkSender
from hermod.channels.kit import Example, ProviderDefinition

KIT: Final = ProviderDefinition(
    adapter=PostmarkSender,
    example=Example(
        credentials={
            "server_token": "5f3c1d2e-8a7b-4c6d-9e0f-1a2b3c4d5e6f",
            "webhook_username": "postmark",
            "webhook_password": "password-of-the-webhook",
        },
        sender="News <news@example.com>",
    ),
    receipts=PostmarkReceipts(),
)
