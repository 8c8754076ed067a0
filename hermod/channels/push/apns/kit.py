"""Apple's push service. The key of the example is made of the number one, so that it is nobody's."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hermod.channels.kit import Example, ProviderDefinition
from hermod.channels.push.apns.sender import ApnsSender

KIT: Final = ProviderDefinition(
    adapter=ApnsSender,
    example=Example(
        credentials={
            "key_id": "ABC123DEFG",
            "team_id": "DEF123GHIJ",
            "private_key": derive_private_key(1, SECP256R1())
            .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            .decode(),
            "topic": "com.example.app",
            "environment": "production",
        },
    ),
)
