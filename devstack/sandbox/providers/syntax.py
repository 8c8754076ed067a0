"""The shapes that vendors check the same way: addresses, numbers, base64, bearer tokens."""

from __future__ import annotations

import binascii
import re
from email.utils import parseaddr
from typing import Final

_EMAIL: Final = re.compile(
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+$"
)
_E164: Final = re.compile(r"^\+[1-9][0-9]{6,14}$")

BAD: Final = "bad"
"""Any credential is good unless it contains this."""


def is_email(value: object) -> bool:
    """A bare ASCII address with a dot in its domain: names of other scripts travel as punycode."""
    return isinstance(value, str) and _EMAIL.match(value) is not None and ".." not in value and ".@" not in value


def is_e164(value: object) -> bool:
    return isinstance(value, str) and _E164.match(value) is not None


def bare_address(value: str) -> str:
    """`ada@example.com` for `Ada <ada@example.com>`."""
    return parseaddr(value)[1] if "<" in value else value


def decoded(value: object) -> bytes | None:
    """The bytes of a strictly correct base64 string, or None."""
    if not isinstance(value, str):
        return None
    try:
        return binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        return None


def bearer_token(authorization: str | None) -> str | None:
    """The token of an `Authorization: Bearer` header, or None where there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def media_type(content_type: str | None) -> str:
    """`application/json` for `Application/JSON; charset=utf-8`."""
    return (content_type or "").partition(";")[0].strip().lower()
