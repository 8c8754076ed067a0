"""Marketing mail leaves with a link by which its recipient takes their address off the list."""

from __future__ import annotations

from hermod.contracts.notifications.content import AnyContent, Email
from hermod.contracts.notifications.messages import Category
from hermod.domain.notifications.unsubscribing import with_unsubscribe
from hermod.ports.notifications.ledger import Item
from hermod.ports.notifications.sender import Sender
from hermod.ports.notifications.unsubscribing import UnsubscribeLinks


def content_with_link(item: Item, tenant: str, sender: Sender, links: UnsubscribeLinks | None) -> AnyContent:
    """The item's content as it is sent. Added here and not when the message is taken: the worker knows our address."""
    content = item.content
    if links is None or item.category is not Category.MARKETING or not isinstance(content, Email):
        return content
    if not sender.capability.custom_headers:
        return content
    url = links.url(tenant, item.channel, item.category, content.to)
    return content if url is None else with_unsubscribe(content, url)
