"""Elastic Email."""

from __future__ import annotations

from typing import Final

from hermod.channels.email.elasticemail.receipts import ElasticEmailReceipts, is_test
from hermod.channels.email.elasticemail.sender import ElasticEmailSender
from hermod.channels.kit import Example, ProviderDefinition

KIT: Final = ProviderDefinition(
    adapter=ElasticEmailSender,
    example=Example(
        credentials={
            "api_key": "KEY-OF-THE-ACCOUNT",
            "webhook_secret": "whsec_secret-of-the-webhook",
        },
        sender="News <news@example.com>",
    ),
    receipts=ElasticEmailReceipts(),
    is_test=is_test,
)
