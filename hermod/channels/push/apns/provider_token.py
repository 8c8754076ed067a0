"""The JWT with which an account proves who it is to Apple: ES256, reused for fifty minutes.

Apple takes a token for an hour and refuses accounts that make a new one more often than every twenty minutes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

REUSED_FOR: Final = timedelta(minutes=50)
YOUNGEST_REPLACED: Final = timedelta(minutes=20)


class WrongKey(ValueError):
    """The text is no key of Apple's. The error says why, and nothing of the key."""


def private_key(text: str) -> EllipticCurvePrivateKey:
    r"""The key of a `.p8` file; its line breaks may be written as `\n`. Raises WrongKey."""
    try:
        key = load_pem_private_key(text.replace("\\n", "\n").strip().encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise WrongKey("must be the contents of the .p8 file that Apple gave out") from None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise WrongKey("must be a key on the curve P-256, as in the .p8 file that Apple gave out")
    return key


class ProviderToken:
    """The token of one account, made when it is needed."""

    def __init__(self, *, key_id: str, team_id: str, private_key: EllipticCurvePrivateKey) -> None:
        self._key_id = key_id
        self._team_id = team_id
        self._private_key = private_key
        self._value = ""
        self._made_at: datetime | None = None

    def value(self, now: datetime) -> str:
        """The token to use. A clock that was set back makes a new one."""
        if self._made_at is None or not timedelta(0) <= now - self._made_at < REUSED_FOR:
            self._make(now)
        return self._value

    def replaced(self, refused: str, now: datetime) -> bool:
        """Whether there is another token now than the `refused` one: the present one is too young to be replaced."""
        if self._value == refused and self._made_at is not None and now - self._made_at >= YOUNGEST_REPLACED:
            self._make(now)
        return self._value != refused

    def _make(self, now: datetime) -> None:
        claims = {"iss": self._team_id, "iat": int(now.timestamp())}
        self._value = jwt.encode(claims, self._private_key, algorithm="ES256", headers={"kid": self._key_id})
        self._made_at = now
