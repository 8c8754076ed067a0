"""What a push service checks of a request (RFC 8030, 8292), and what the browser behind it does with the body (8291).

Written from the RFCs on bare HMAC, ECDH and AES, without a library for any of them, so that it can judge one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from devstack.sandbox.providers.syntax import BAD

MAX_BODY: Final = 4096
DEVICE_PUBLIC: Final = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
DEVICE_AUTH: Final = "BTBZMqHH6r4Tts7J_aSIgg"
"""The keys of every browser here: those of RFC 8291's appendix, whose private half is printed there, too."""

_DEVICE_PRIVATE: Final = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
_VAPID: Final = re.compile(r"^vapid\s+t=([\w-]+)\.([\w-]+)\.([\w-]+)\s*,\s*k=([\w-]+)$", re.ASCII | re.IGNORECASE)
_TOPIC: Final = re.compile(r"^[\w-]{1,32}$", re.ASCII)
_URGENCIES: Final = frozenset({"very-low", "low", "normal", "high"})
_DAY: Final = 86_400


class Refusal(Exception):
    """The push service says no."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises Refusal for what a push service would not understand."""
    if headers.get("Content-Encoding") != "aes128gcm":
        raise Refusal(400, "Content-Encoding must be aes128gcm")
    ttl = headers.get("TTL")
    if ttl is None or not (ttl.isascii() and ttl.isdecimal()):
        raise Refusal(400, "TTL is missing, or not a number of seconds")
    if headers.get("Urgency", "normal") not in _URGENCIES:
        raise Refusal(400, "Urgency is none of very-low, low, normal, high")
    topic = headers.get("Topic")
    if topic is not None and not _TOPIC.match(topic):
        raise Refusal(400, "Topic must have up to 32 characters of base64url")


def check_vapid(authorization: str | None, *, origin: str, bound_to: str | None, now: float) -> None:
    """Raises Refusal unless the token is signed by its key, for this origin, for at most a day from now.

    `bound_to` is the key that the subscription was made with, where it was made with one.
    """
    if authorization is None:
        raise Refusal(401, "no Authorization")
    found = _VAPID.match(authorization)
    if found is None:
        raise Refusal(401, "Authorization is not vapid t=…, k=…")
    head, claims, signature, key = found.groups()
    if _parsed(head).get("alg") != "ES256":
        raise Refusal(403, "the token's algorithm is not ES256")
    if not _is_signed(f"{head}.{claims}".encode(), _bytes(signature), _bytes(key)):
        raise Refusal(403, "the token is not signed by the key")
    said = _parsed(claims)
    if said.get("aud") != origin:
        raise Refusal(403, f"the token is for {said.get('aud')}, and this is {origin}")
    expires = said.get("exp")
    if type(expires) is not int or not now < expires <= now + _DAY:
        raise Refusal(403, "the token has expired, or is valid for more than a day")
    subject = said.get("sub")
    if not isinstance(subject, str) or not subject.startswith(("mailto:", "https:")) or BAD in subject:
        raise Refusal(403, "the token's subject is no mailto: and no https: address")
    if bound_to is not None and key != bound_to:
        raise Refusal(403, "the subscription was made with another key")


def opened(body: bytes) -> dict[str, Any]:
    """The JSON that the browser's service worker gets. Raises Refusal where it cannot be read."""
    if len(body) > MAX_BODY:
        raise Refusal(413, f"more than {MAX_BODY} bytes")
    if len(body) < 21 + 65 + 17 or body[20] != 65:
        raise Refusal(400, "not an aes128gcm body with a P-256 key")
    salt, size, sender, sealed = body[:16], int.from_bytes(body[16:20], "big"), body[21:86], body[86:]
    if not size >= 18 or len(sealed) > size:
        raise Refusal(400, "more than one record")
    try:
        plain = _decrypted(salt, sender, sealed)
    except (ValueError, InvalidTag):
        raise Refusal(400, "the browser cannot decrypt it") from None
    text, mark, padding = plain.rstrip(b"\x00").rpartition(b"\x02")
    if not mark or padding:
        raise Refusal(400, "the record has no end")
    try:
        payload = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Refusal(400, "the service worker cannot read it") from None
    if not isinstance(payload, dict):
        raise Refusal(400, "the service worker cannot read it")
    return payload


def _decrypted(salt: bytes, sender: bytes, sealed: bytes) -> bytes:
    device = ec.derive_private_key(int.from_bytes(_bytes(_DEVICE_PRIVATE), "big"), ec.SECP256R1())
    shared = device.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
    info = b"WebPush: info\0" + _bytes(DEVICE_PUBLIC) + sender + b"\x01"
    secret = _hmac(_hmac(_bytes(DEVICE_AUTH), shared), info)
    extracted = _hmac(salt, secret)
    key = _hmac(extracted, b"Content-Encoding: aes128gcm\0\x01")[:16]
    nonce = _hmac(extracted, b"Content-Encoding: nonce\0\x01")[:12]
    return AESGCM(key).decrypt(nonce, sealed, None)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _is_signed(data: bytes, signature: bytes, key: bytes) -> bool:
    if len(signature) != 64 or len(key) != 65:
        return False
    halves = (int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
        public.verify(encode_dss_signature(*halves), data, ec.ECDSA(SHA256()))
    except (ValueError, InvalidSignature):
        return False
    return True


def _parsed(part: str) -> dict[str, Any]:
    try:
        value = orjson.loads(_bytes(part))
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _bytes(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return b""
