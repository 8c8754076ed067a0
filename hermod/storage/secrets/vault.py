"""Credentials at rest. The key is a list: the first encrypts, all of them decrypt, so a new one can be put in front.

To rotate: put a new key in front in HERMOD_SECRET_KEY (comma-separated), restart, run `hermod secrets rotate`, then
remove the old one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class UndecryptableSecret(Exception):
    """The stored secret was encrypted with a key that HERMOD_SECRET_KEY no longer lists."""


class Vault:
    def __init__(self, keys: str) -> None:
        """`keys`: one or more Fernet keys (32 bytes, URL-safe base64), comma-separated, the newest first."""
        listed = [key.strip() for key in keys.split(",") if key.strip()]
        self._fernet = MultiFernet([Fernet(key) for key in listed])
        self._newest = base64.urlsafe_b64decode(listed[0])

    def seal(self, secrets: Mapping[str, Any]) -> bytes:
        """`secrets` is plain JSON."""
        return self._fernet.encrypt(orjson.dumps(secrets))

    def open(self, sealed: bytes) -> dict[str, Any]:
        """What was sealed. Raises UndecryptableSecret."""
        try:
            opened: dict[str, Any] = orjson.loads(self._fernet.decrypt(bytes(sealed)))
        except InvalidToken:
            raise UndecryptableSecret("HERMOD_SECRET_KEY does not list the key that encrypted this") from None
        return opened

    def reseal(self, sealed: bytes) -> bytes:
        """The same secret under the newest key."""
        try:
            return self._fernet.rotate(bytes(sealed))
        except InvalidToken:
            raise UndecryptableSecret("HERMOD_SECRET_KEY does not list the key that encrypted this") from None

    def fingerprint(self, *facts: object) -> str:
        """The same 32 hex digits for the same facts, from which nobody without the key can guess them.

        Another key in front gives other fingerprints.
        """
        return hashlib.blake2b(orjson.dumps(facts), key=self._newest, digest_size=16).hexdigest()

    @staticmethod
    def new_key() -> str:
        return Fernet.generate_key().decode()
