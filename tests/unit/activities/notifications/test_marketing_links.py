"""Which messages leave with an unsubscribe link."""

from __future__ import annotations

from typing import Any

import pytest

from activities.notifications.unsubscribing import content_with_link
from hermod.channels.registry import KITS
from hermod.channels.sandbox.sender import SandboxSender
from hermod.contracts.notifications.content import AnyContent, Channel
from hermod.contracts.notifications.messages import Category, Guarantee, Status
from hermod.contracts.notifications.retries import Preset
from hermod.ports.notifications.ledger import Item
from hermod.ports.notifications.sender import Capability, Sender
from hermod.storage.recipients.unsubscribe_links import SealedLinks
from hermod.storage.secrets.vault import Vault
from tests.unit.channels.samples import account, email, sms, wiring

KEY = Vault.new_key()
LINKS = SealedLinks(KEY, "https://hermod.example.com")


def item(content: AnyContent, category: Category = Category.MARKETING) -> Item:
    return Item(
        id="msg_1",
        channel=Channel(content.channel),
        status=Status.QUEUED,
        content=content,
        category=category,
        guarantee=Guarantee.AT_MOST_ONCE,
        retry=Preset.NOTIFICATION,
        requested_account=None,
        request_id=None,
        not_after=None,
        next_attempt_at=None,
        attempts=0,
        round=1,
        spent=0,
        wait_reason=None,
    )


def sender(**capability: Any) -> Sender:
    made = SandboxSender(account("sandbox"), wiring())
    if capability:
        known = KITS["sandbox"].adapter.capability
        made.capability = Capability(provider="x", title="X", channels=known.channels, **capability)
    return made


def test_marketing_mail_leaves_with_a_link_for_its_recipient() -> None:
    content = content_with_link(item(email(to="Ada <ada@example.com>")), "demo", sender(), LINKS)
    url = LINKS.url("demo", Channel.EMAIL, Category.MARKETING, "ada@example.com")
    assert content.model_dump()["headers"] == {
        "List-Unsubscribe": f"<{url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


@pytest.mark.parametrize(
    ("one", "by", "links"),
    [
        (item(email(), Category.TRANSACTIONAL), sender(), LINKS),
        (item(sms()), sender(), LINKS),
        (item(email()), sender(custom_headers=False), LINKS),
        (item(email()), sender(), None),
        (item(email()), sender(), SealedLinks(KEY, None)),
        (item(email(headers={"LIST-UNSUBSCRIBE": "<mailto:x@example.com>"})), sender(), LINKS),
    ],
)
def test_other_messages_leave_as_they_are(one: Item, by: Sender, links: SealedLinks | None) -> None:
    assert content_with_link(one, "demo", by, links) is one.content
