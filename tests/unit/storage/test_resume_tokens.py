"""Tokens with which a visitor goes on with a form: nobody reads or makes one, and none opens another door."""

from __future__ import annotations

import base64

import pytest

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Category
from hermod.ports.notifications.unsubscribing import Subscription
from hermod.storage.forms.resume_tokens import Resumed, ResumeTokens
from hermod.storage.recipients.unsubscribe_links import SealedLinks
from hermod.storage.secrets.vault import Vault

OLD, NEW = Vault.new_key(), Vault.new_key()
TOKENS = ResumeTokens(NEW)
TOKEN = TOKENS.token("shop", "order", "session-1")


def test_token_opens_for_its_partial_and_is_always_the_same() -> None:
    assert TOKENS.open(TOKEN) == Resumed("shop", "order", "session-1")
    assert TOKENS.token("shop", "order", "session-1") == TOKEN
    assert TOKENS.token("shop", "order", "session-2") != TOKEN
    assert b"session" not in base64.urlsafe_b64decode(TOKEN + "==")


def test_token_with_any_character_changed_opens_nothing() -> None:
    for place in range(len(TOKEN) - 1):
        forged = TOKEN[:place] + ("A" if TOKEN[place] != "A" else "B") + TOKEN[place + 1 :]
        assert TOKENS.open(forged) is None, place


@pytest.mark.parametrize(
    "token", ["", "a", "é", "AAAA", "A" * 5000, pytest.param(TOKEN[:-4], id="cut"), pytest.param(TOKEN * 2, id="twice")]
)
def test_token_is_none_opens_nothing(token: str) -> None:
    assert TOKENS.open(token) is None


def test_token_of_an_older_key_opens_as_long_as_the_key_is_listed() -> None:
    old = ResumeTokens(OLD).token("shop", "order", "session-1")
    assert ResumeTokens(f"{NEW},{OLD}").open(old) == Resumed("shop", "order", "session-1")
    assert TOKENS.open(old) is None


def test_token_of_another_purpose_opens_nothing() -> None:
    links = SealedLinks(NEW, None)
    about = Subscription(tenant="shop", channel=Channel.EMAIL, category=Category.MARKETING, address="ada@example.com")
    assert TOKENS.open(links.token(about)) is None
    assert links.open(TOKEN) is None
