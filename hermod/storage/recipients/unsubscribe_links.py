"""Implements `hermod.ports.notifications.unsubscribing.UnsubscribeLinks`: everything that a link is about is in it,
sealed.
"""

from __future__ import annotations

from typing import Any, Final

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Category
from hermod.domain.notifications.recipients import bare
from hermod.ports.notifications.unsubscribing import Subscription
from hermod.storage.secrets.sealed_tokens import SealedTokens

_PURPOSE: Final = b"hermod unsubscribe 1"
_LONGEST_ADDRESS: Final = 1024


class SealedLinks:
    def __init__(self, keys: str, public_url: str | None) -> None:
        """`keys` as for `hermod.storage.secrets.vault.Vault`; `public_url` without a slash at its end."""
        self._tokens = SealedTokens(keys, _PURPOSE)
        self._public_url = public_url

    def url(self, tenant: str, channel: Channel, category: Category, to: str | dict[str, Any]) -> str | None:
        address = bare(channel, to)
        if self._public_url is None or not 0 < len(address) <= _LONGEST_ADDRESS:
            return None
        about = Subscription(tenant=tenant, channel=channel, category=category, address=address)
        return f"{self._public_url}/u/{self.token(about)}"

    def token(self, about: Subscription) -> str:
        return self._tokens.seal(about.tenant, about.channel.value, about.category.value, about.address)

    def open(self, token: str) -> Subscription | None:
        """What a link is about, or None for one that is not ours, or whose key is gone."""
        parts = self._tokens.open(token, 4)
        if parts is None:
            return None
        tenant, channel, category, address = parts
        return Subscription(tenant=tenant, channel=Channel(channel), category=Category(category), address=address)
