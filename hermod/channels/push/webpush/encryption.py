"""Message encryption for Web Push (RFC 8291 over RFC 8188): only the browser that subscribed can read what it gets.

body = salt (16) | record size 4096 (4) | 65 (1) | our key (65) | AES-128-GCM of the plaintext and 0x02
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

LONGEST_PLAINTEXT: Final = 3993
"""Bytes: what is left of the 4096 that every push service takes, after 103 of our own."""

_RECORD_SIZE: Final = 4096
_POINT_BYTES: Final = 65
_AUTH_BYTES: Final = 16


class WrongKeys(ValueError):
    """The subscription's keys are no keys. The text says which, and nothing of their value."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom a message is encrypted for: the browser's public key and its authentication secret."""

    point: EllipticCurvePublicKey
    raw_point: bytes
    auth: bytes

    @classmethod
    def of(cls, keys: object) -> Reader:
        """The `keys` of a subscription. Raises WrongKeys."""
        given: dict[str, Any] = keys if isinstance(keys, dict) else {}
        raw_point, auth = unpadded(given.get("p256dh")), unpadded(given.get("auth"))
        if auth is None or len(auth) != _AUTH_BYTES:
            raise WrongKeys("keys.auth is not 16 bytes in base64url")
        if raw_point is None or len(raw_point) != _POINT_BYTES:
            raise WrongKeys("keys.p256dh is not 65 bytes in base64url")
        try:
            point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), raw_point)
        except ValueError:
            raise WrongKeys("keys.p256dh is not a point on the curve P-256") from None
        return cls(point, raw_point, auth)


@dataclass(frozen=True, slots=True)
class Once:
    """What may be used for one message only: a key pair and a salt."""

    key: EllipticCurvePrivateKey
    salt: bytes


def fresh() -> Once:
    return Once(generate_private_key(SECP256R1()), os.urandom(16))


def encrypt(plaintext: bytes, reader: Reader, once: Once) -> bytes:
    """The body of the request. `plaintext` has up to `LONGEST_PLAINTEXT` bytes."""
    own_point = once.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = once.key.exchange(ECDH(), reader.point)
    secret = _derived(reader.auth, shared, b"WebPush: info\0" + reader.raw_point + own_point, 32)
    key = _derived(once.salt, secret, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(once.salt, secret, b"Content-Encoding: nonce\0", 12)
    head = once.salt + _RECORD_SIZE.to_bytes(4, "big") + bytes([_POINT_BYTES]) + own_point
    return head + AESGCM(key).encrypt(nonce, plaintext + b"\x02", None)


def unpadded(text: object) -> bytes | None:
    """The bytes of base64url, padded or not; None for anything else. Browsers and libraries differ in the padding."""
    if not isinstance(text, str) or not text.isascii():
        return None
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return None


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _derived(salt: bytes, material: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(material)
