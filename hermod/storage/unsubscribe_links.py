"""Implements `hermod.ports.unsubscribing.UnsubscribeLinks`: everything that a link is about is in it, sealed.

AES-SIV with keys derived from HERMOD_SECRET_KEY: whoever holds a link can neither read the address out of it nor make
another one, and the same address always has the same link, so nothing needs to be stored. As for credentials, the first
key seals and all of them open: links in old mails work until their key is taken off the list.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hermod.contracts.content import Channel
from hermod.contracts.messages import Category
from hermod.domain.recipients import bare
from hermod.ports.unsubscribing import Subscription

_PURPOSE: Final = b"hermod unsubscribe 1"
_LONGEST_ADDRESS: Final = 1024
_LONGEST_TOKEN: Final = 2048
_SEPARATOR: Final = "\n"


class SealedLinks:
    def __init__(self, keys: str, public_url: str | None) -> None:
        """`keys` as for `hermod.storage.vault.Vault`; `public_url` without a slash at its end."""
        self._ciphers = [_cipher(key.strip()) for key in keys.split(",") if key.strip()]
        self._public_url = public_url

    def url(self, tenant: str, channel: Channel, category: Category, to: str | dict[str, Any]) -> str | None:
        address = bare(channel, to)
        if self._public_url is None or not 0 < len(address) <= _LONGEST_ADDRESS:
            return None
        about = Subscription(tenant=tenant, channel=channel, category=category, address=address)
        return f"{self._public_url}/u/{self.token(about)}"

    def token(self, about: Subscription) -> str:
        plain = _SEPARATOR.join((about.tenant, about.channel.value, about.category.value, about.address))
        sealed = self._ciphers[0].encrypt(plain.encode(), [_PURPOSE])
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, token: str) -> Subscription | None:
        """What a link is about, or None for one that is not ours, or whose key is gone."""
        if len(token) > _LONGEST_TOKEN or not token.isascii():
            return None
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except binascii.Error:
            return None
        for cipher in self._ciphers:
            try:
                plain = cipher.decrypt(sealed, [_PURPOSE])
            except (InvalidTag, ValueError):
                continue
            tenant, channel, category, address = plain.decode().split(_SEPARATOR, 3)
            return Subscription(tenant=tenant, channel=Channel(channel), category=Category(category), address=address)
        return None


def _cipher(key: str) -> AESSIV:
    secret = base64.urlsafe_b64decode(key)
    return AESSIV(HKDF(algorithm=SHA256(), length=64, salt=None, info=_PURPOSE).derive(secret))
