"""Any mail server over SMTP."""

from __future__ import annotations

from typing import Final

from hermod.channels.email.smtp.sender import SmtpSender
from hermod.channels.kit import Example, ProviderDefinition

KIT: Final = ProviderDefinition(
    adapter=SmtpSender,
    example=Example(
        credentials={"host": "mail.example.com", "username": "mailer", "password": "s3cret-pass"},
        sender="News <news@example.com>",
    ),
)
