"""Firebase Cloud Messaging. The example's key has the two largest primes of 1024 bits for factors: it is nobody's."""

from __future__ import annotations

from typing import Final

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateNumbers,
    RSAPublicNumbers,
    rsa_crt_dmp1,
    rsa_crt_dmq1,
    rsa_crt_iqmp,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hermod.channels.kit import Example, ProviderDefinition
from hermod.channels.push.fcm.sender import FcmSender
from hermod.channels.push.fcm.service_account import GOOGLE_TOKEN_URI


def _private_key() -> str:
    p, q, e = 2**1024 - 105, 2**1024 - 179, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    public = RSAPublicNumbers(e, p * q)
    numbers = RSAPrivateNumbers(p, q, d, rsa_crt_dmp1(d, p), rsa_crt_dmq1(d, q), rsa_crt_iqmp(p, q), public)
    key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


_KEY_FILE: Final = {
    "type": "service_account",
    "project_id": "example-project",
    "private_key_id": "0123456789abcdef0123456789abcdef01234567",
    "private_key": _private_key(),
    "client_email": "push@example-project.iam.gserviceaccount.com",
    "client_id": "100000000000000000000",
    "token_uri": GOOGLE_TOKEN_URI,
}

KIT: Final = ProviderDefinition(
    adapter=FcmSender,
    example=Example(credentials={"service_account": orjson.dumps(_KEY_FILE, option=orjson.OPT_INDENT_2).decode()}),
)
