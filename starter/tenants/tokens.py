"""Admin tokens: JWTs signed with HERMOD_JWT_SECRET (HS256) that carry `role: admin`, who holds them, and an end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import jwt

from hermod.contracts.errors import Unauthorized

ALGORITHM: Final = "HS256"
ADMIN: Final = "admin"
MIN_SECRET: Final = 32
"""Bytes: what HS256 needs to be as strong as its hash (RFC 7518, 3.2)."""
LONGEST: Final = timedelta(days=366)


class WeakSecret(Exception):
    """HERMOD_JWT_SECRET is missing or too short. The text says what to do."""


@dataclass(frozen=True, slots=True)
class AdminToken:
    """A checked token: who it was made for, and until when it works."""

    subject: str
    expires_at: datetime


def issue(secret: str, *, subject: str, valid_for: timedelta, now: datetime) -> str:
    """A new admin token. Raises WeakSecret, and ValueError for a time that is not between a second and a year."""
    _check(secret)
    if not timedelta(seconds=1) <= valid_for <= LONGEST:
        raise ValueError(f"a token is valid for a second at least and {LONGEST.days} days at most")
    claims = {"sub": subject, "role": ADMIN, "iat": now, "exp": now + valid_for}
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def verify(secret: str, token: str) -> AdminToken:
    """Raises Unauthorized for everything that is not an admin token of ours, and WeakSecret."""
    _check(secret)
    try:
        claims = jwt.decode(token, secret, algorithms=[ALGORITHM], options={"require": ["exp", "sub"]})
    except jwt.ExpiredSignatureError:
        raise Unauthorized("the token has expired; make another with `hermod token`") from None
    except jwt.PyJWTError:
        raise Unauthorized("no such token") from None
    if claims.get("role") != ADMIN:
        raise Unauthorized("the token is not an admin's")
    return AdminToken(claims["sub"], datetime.fromtimestamp(claims["exp"], UTC))


def _check(secret: str) -> None:
    if len(secret.encode()) < MIN_SECRET:
        found = "is not set" if not secret else "is too short"
        raise WeakSecret(f"HERMOD_JWT_SECRET {found}: it needs {MIN_SECRET} characters, from `openssl rand -hex 32`")
