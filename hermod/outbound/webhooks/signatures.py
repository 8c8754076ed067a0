"""Standard Webhooks 1.0.0: what our requests are signed with, and what a receiver checks.

    webhook-id          the same for every attempt of one delivery
    webhook-timestamp   integer seconds, of the attempt
    webhook-signature   one or more `v1,<base64>` (HMAC-SHA256) or `v1a,<base64>` (ed25519), separated by spaces

Signed is `{id}.{timestamp}.{body}`, the very bytes that are sent. A symmetric secret is written `whsec_` + base64 of 24
to 64 random bytes, a key pair `whsk_` + base64 of the seed and the public half, the public half alone `whpk_` + base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature as WrongSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
SYMMETRIC: Final = "whsec_"
PRIVATE: Final = "whsk_"
PUBLIC: Final = "whpk_"
TOLERANCE: Final = 300
"""Seconds that a timestamp may be old or ahead: what every reference library allows."""

_SECRET_BYTES: Final = 32
_SEED_BYTES: Final = 32
_PAIR_BYTES: Final = 64
_MOST_SIGNATURES: Final = 50
"""Of one version are looked at; more are no rotation of keys but an attempt to keep the receiver busy."""
_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


class InvalidSignature(Exception):
    """The request is not what its sender signed: altered, signed with another key, too old, or not signed at all."""


def new_secret() -> str:
    """A fresh symmetric secret."""
    return SYMMETRIC + _encoded(secrets.token_bytes(_SECRET_BYTES))


def new_key_pair() -> str:
    """A fresh ed25519 pair. Its public half is `public_key(pair)`."""
    private = Ed25519PrivateKey.generate()
    return PRIVATE + _encoded(private.private_bytes_raw() + private.public_key().public_bytes_raw())


def public_key(pair: str) -> str:
    """The half of a `whsk_` pair that receivers get. Raises ValueError for a pair that is none."""
    return PUBLIC + _encoded(_private(pair).public_key().public_bytes_raw())


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One entry of the signature header. Raises ValueError for a secret that is none, and for an id with a dot."""
    signed = _signed(message_id, str(timestamp), body)
    if secret.startswith(PRIVATE):
        return f"v1a,{_encoded(_private(secret).sign(signed))}"
    return f"v1,{_encoded(hmac.digest(_symmetric(secret), signed, hashlib.sha256))}"


def signature_header(keys: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The header for all keys that are valid at the moment: while keys rotate, the old and the new one."""
    return " ".join(sign(key, message_id, timestamp, body) for key in keys)


def verify_webhook(body: bytes, headers: Mapping[str, str], secret: str, *, now: datetime | None = None) -> None:
    """Raise InvalidSignature unless the request is what the owner of `secret` sent in the last five minutes.

    `body` is the raw body as it came, `headers` any mapping of names to values (names in any case). `secret` is
    `whsec_…`, or the same base64 without its prefix, or a public key `whpk_…`. `now` is for tests, and needs a time
    zone. Nothing else is ever raised, whatever the arguments are.

    A request that passes may still be a repetition: `webhook-id` is the same for each attempt of a delivery.
    """
    try:
        message_id, timestamp, signatures = (_only(headers, name) for name in (ID, TIMESTAMP, SIGNATURE))
        _check_age(timestamp, datetime.now(UTC) if now is None else now)
        _check(secret, _signed(message_id, timestamp, body), signatures)
    except InvalidSignature:
        raise
    except Exception as reason:  # noqa: BLE001 - whatever is wrong with the input, the caller sees one error
        raise InvalidSignature(f"the request cannot be checked: {type(reason).__name__}") from None


def _only(headers: Mapping[str, str], name: str) -> str:
    """The header's one value. With two, the receiver might use another one than was checked."""
    values = [value for given, value in headers.items() if given.lower() == name]
    if len(values) != 1:
        raise InvalidSignature(f"the header {name} is {'given twice' if values else 'missing'}")
    return values[0]


def _check_age(timestamp: str, now: datetime) -> None:
    if not _WHOLE_NUMBER.fullmatch(timestamp):
        raise InvalidSignature("the timestamp is no whole number of seconds")
    if now.tzinfo is None:
        raise InvalidSignature("`now` has no time zone, so the age of the request is unknown")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE:
        raise InvalidSignature("the timestamp is more than five minutes off")


def _check(secret: str, signed: bytes, signatures: str) -> None:
    asymmetric = secret.startswith(PUBLIC)
    try:
        key = _public(secret) if asymmetric else _symmetric(secret)
    except ValueError:
        raise InvalidSignature("the secret is not one: whsec_… or whpk_… and base64") from None
    wanted = "v1a" if asymmetric else "v1"
    given = [encoded for version, _, encoded in map(_parted, signatures.split()) if version == wanted]
    if not any(_is_signed(key, encoded, signed) for encoded in given[:_MOST_SIGNATURES]):
        raise InvalidSignature("no signature matches")


def _parted(entry: str) -> tuple[str, str, str]:
    return entry.partition(",")


def _is_signed(key: bytes | Ed25519PublicKey, encoded: str, signed: bytes) -> bool:
    try:
        signature = _decoded(encoded)
    except ValueError:
        return False
    if encoded.rstrip("=") != _encoded(signature).rstrip("="):
        return False  # The last character may carry bits that decode to nothing: one signature has one spelling.
    if isinstance(key, bytes):
        return hmac.compare_digest(hmac.digest(key, signed, hashlib.sha256), signature)
    try:
        key.verify(signature, signed)
    except WrongSignature:
        return False
    return True


def _signed(message_id: str, timestamp: str, body: bytes) -> bytes:
    if "." in message_id or not message_id:
        raise ValueError("an id is not empty and has no dot, which would blur where it ends")
    return f"{message_id}.{timestamp}.".encode() + body


def _symmetric(secret: str) -> bytes:
    key = _decoded(secret.removeprefix(SYMMETRIC))
    if not key:
        raise ValueError("an empty secret")
    return key


def _private(pair: str) -> Ed25519PrivateKey:
    """Raises ValueError, also where the two halves do not belong together."""
    key = _decoded(pair.removeprefix(PRIVATE))
    if len(key) not in (_SEED_BYTES, _PAIR_BYTES):
        raise ValueError("a key pair has 64 bytes, or 32 without its public half")
    private = Ed25519PrivateKey.from_private_bytes(key[:_SEED_BYTES])
    if key[_SEED_BYTES:] not in (b"", private.public_key().public_bytes_raw()):
        raise ValueError("the halves of the key pair do not belong together")
    return private


def _public(key: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(_decoded(key.removeprefix(PUBLIC)))


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decoded(encoded: str) -> bytes:
    """Base64, padded or not. Raises ValueError."""
    bare = encoded.rstrip("=")
    try:
        return binascii.a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    except binascii.Error as reason:
        raise ValueError(str(reason)) from None
