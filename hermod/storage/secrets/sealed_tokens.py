"""Tokens for links: what a link is about is in it, sealed, so that nothing needs to be stored.

AES-SIV with keys derived from HERMOD_SECRET_KEY: whoever holds a token can neither read it nor make another one, and
the same contents always have the same token. As for credentials, the first key seals and all of them open: tokens in
old mails work until their key is taken off the list.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_LONGEST: Final = 2048
_SEPARATOR: Final = "\n"


class SealedTokens:
    def __init__(self, keys: str, purpose: bytes) -> None:
        """`keys` as for `hermod.storage.secrets.vault.Vault`. A token of one purpose does not open for another one."""
        self._purpose = purpose
        self._ciphers = [_cipher(key.strip(), purpose) for key in keys.split(",") if key.strip()]

    def seal(self, *parts: str) -> str:
        """Only the last part may have line breaks in it."""
        sealed = self._ciphers[0].encrypt(_SEPARATOR.join(parts).encode(), [self._purpose])
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, token: str, parts: int) -> list[str] | None:
        """The parts of a token, or None for one that is not ours, or whose key is gone."""
        if len(token) > _LONGEST or not token.isascii():
            return None
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except binascii.Error:
            return None
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed, [self._purpose]).decode().split(_SEPARATOR, parts - 1)
            except (InvalidTag, ValueError):
                continue
        return None


def _cipher(key: str, purpose: bytes) -> AESSIV:
    secret = base64.urlsafe_b64decode(key)
    return AESSIV(HKDF(algorithm=SHA256(), length=64, salt=None, info=purpose).derive(secret))
