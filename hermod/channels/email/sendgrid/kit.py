"""SendGrid, by Twilio."""

from __future__ import annotations

from typing import Final

from hermod.channels.email.sendgrid.receipts import SendGridReceipts
from hermod.channels.email.sendgrid.sender import SendGridSender
from hermod.channels.kit import Example, ProviderDefinition

KIT: Final = ProviderDefinition(
    adapter=SendGridSender,
    example=Example(
        credentials={
            "api_key": "SG.key-of-the-account",
            # The public half of the key with which the provider sandbox signs.
            "webhook_public_key": (
                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+mcJB1cfl3N89BGX9zNiLSdy5sLx"
                "ZQG9BjcANymEnJvLN2sw972bYKeNSuyoOFRPYo2GXkhONgteVULGq9E1Bw=="
            ),
        },
        sender="News <news@example.com>",
    ),
    receipts=SendGridReceipts(),
)
