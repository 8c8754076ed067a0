"""Links by which a recipient, and nobody else, takes their address off a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Category


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a link is about: messages of one category, from one tenant to one address."""

    tenant: str
    channel: Channel
    category: Category
    address: str
    """The bare form (`hermod.domain.notifications.recipients`)."""


class UnsubscribeLinks(Protocol):
    def url(self, tenant: str, channel: Channel, category: Category, to: str | dict[str, Any]) -> str | None:
        """The link for this address, always the same one; None where Hermod has no public address."""
        ...
