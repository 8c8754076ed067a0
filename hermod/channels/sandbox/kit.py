"""The provider sandbox of the dev stack."""

from __future__ import annotations

from typing import Final

from hermod.channels.kit import Example, Kit
from hermod.channels.sandbox.receipts import SandboxReceipts
from hermod.channels.sandbox.sender import SandboxSender

KIT: Final = Kit(
    adapter=SandboxSender,
    example=Example(
        credentials={"api_key": "sandbox-key", "webhook_secret": "sandbox-secret"},
        sender="News <news@example.com>",
        base_url="https://sandbox.example.com/sandbox",
    ),
    receipts=SandboxReceipts(),
)
