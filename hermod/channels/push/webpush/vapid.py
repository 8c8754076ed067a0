"""VAPID (RFC 8292): how a push service knows that we are the application server that the browser subscribed to."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from hermod.channels.push.webpush.encryption import b64url, unpadded

VALID_FOR: Final = timedelta(hours=12)
"""A push service takes up to 24 hours; half of that forgives a clock that is wrong."""
RENEWED_BEFORE: Final = timedelta(hours=1)
MOST_ORIGINS: Final = 256
"""Tokens kept. There are a handful of push services, and a subscription may name any other host."""

_KEY_BYTES: Final = 32
_PEM_HEAD: Final = "-----BEGIN"


class WrongKey(ValueError):
    """The text is no private key for VAPID."""


def private_key(text: str) -> EllipticCurvePrivateKey:
    """The key of an account: 32 bytes in base64url, as most tools print it, or PEM. Raises WrongKey.

    The line breaks of a PEM file may be written as `\\n`, as they are in an environment variable.
    """
    if text.lstrip().startswith(_PEM_HEAD):
        return _from_pem(text)
    raw = unpadded(text.strip())
    if raw is None or len(raw) != _KEY_BYTES:
        raise WrongKey("must be the private key as 32 bytes in base64url, or as PEM")
    try:
        return derive_private_key(int.from_bytes(raw, "big"), SECP256R1())
    except ValueError:
        raise WrongKey("is not a private key on the curve P-256") from None


def public_key(key: EllipticCurvePrivateKey) -> str:
    """What the browser subscribes with, as `applicationServerKey`."""
    return b64url(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


class Vapid:
    """The `Authorization` header for each push service, made anew every eleven hours."""

    def __init__(self, key: EllipticCurvePrivateKey, subject: str) -> None:
        self._key = key
        self._public = public_key(key)
        self._subject = subject
        self._kept: OrderedDict[str, tuple[datetime, str]] = OrderedDict()

    def authorization(self, origin: str, now: datetime) -> str:
        """`origin` is the push service's scheme, host and port."""
        kept = self._kept.get(origin)
        if kept is None or kept[0] - now < RENEWED_BEFORE or kept[0] - now > VALID_FOR:
            expires = now + VALID_FOR
            claims = {"aud": origin, "exp": int(expires.timestamp()), "sub": self._subject}
            token = jwt.encode(claims, self._key, algorithm="ES256")
            kept = (expires, f"vapid t={token}, k={self._public}")
            self._kept[origin] = kept
            if len(self._kept) > MOST_ORIGINS:
                self._kept.popitem(last=False)
        return kept[1]


def _from_pem(text: str) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(text.replace("\\n", "\n").encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise WrongKey("is not a private key in PEM, or is protected by a password") from None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise WrongKey("is not a private key on the curve P-256")
    return key
