"""Amazon SES: mail through API v2, events through an SNS topic."""

from __future__ import annotations

from typing import Final

from hermod.channels.email.ses.receipts import SesReceipts
from hermod.channels.email.ses.sender import SesSender
from hermod.channels.kit import Example, ProviderDefinition

KIT: Final = ProviderDefinition(
    adapter=SesSender,
    example=Example(
        credentials={
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "region": "us-east-1",
            "configuration_set": "hermod",
            "topic_arn": "arn:aws:sns:us-east-1:123456789012:hermod",
        },
        sender="News <news@example.com>",
    ),
    receipts=SesReceipts(),
)
