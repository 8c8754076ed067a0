"""The provider sandbox of the dev stack."""

from __future__ import annotations

from typing import Final

from hermod.channels.kit import Example, ProviderDefinition
from hermod.channels.sandbox.receipts import SandboxReceipts
from hermod.channels.sandbox.sender import SandboxSender

KIT: Final = ProviderDefinition(
    adapter=SandboxSender,
    example=Example(
        credentials={"api_key": "sandbox-key", "webhook_secret": "sandbox-secret"},
        sender="News <news@example.com>",
        base_url="https://sandbox.example.com/sandbox",
    ),
    receipts=SandboxReceipts(),
)
