"""Links that nobody can read or make, and the headers that carry them."""

from __future__ import annotations

import base64

import pytest

from hermod.contracts.notifications.content import Channel, Email
from hermod.contracts.notifications.messages import Category
from hermod.domain.notifications.unsubscribing import with_unsubscribe
from hermod.ports.notifications.unsubscribing import Subscription
from hermod.storage.recipients.unsubscribe_links import SealedLinks
from hermod.storage.secrets.vault import Vault

OLD, NEW = Vault.new_key(), Vault.new_key()
LINKS = SealedLinks(NEW, "https://hermod.example.com")
ABOUT = Subscription(tenant="demo", channel=Channel.EMAIL, category=Category.MARKETING, address="ada@example.com")


def link(to: str, links: SealedLinks = LINKS) -> str:
    url = links.url("demo", Channel.EMAIL, Category.MARKETING, to)
    assert url is not None
    return url


def test_link_is_opened_says_what_it_is_about() -> None:
    url = link("Ada <Ada@Example.com>")
    assert url.startswith("https://hermod.example.com/u/")
    assert LINKS.open(url.rpartition("/")[2]) == ABOUT


def test_link_of_one_address_is_always_the_same_and_short_enough_for_a_header() -> None:
    assert link("ada@example.com") == link("Ada <ADA@example.com>") != link("bob@example.com")
    assert len(link("ada@example.com")) < 150


def test_link_shows_nothing_of_the_address() -> None:
    token = link("ada@example.com").rpartition("/")[2]
    sealed = base64.urlsafe_b64decode(token + "==")
    assert b"ada" not in sealed
    assert b"demo" not in sealed
    assert "ada" not in token


def test_link_with_any_character_changed_is_nobodys() -> None:
    token = LINKS.token(ABOUT)
    for place in range(len(token) - 1):
        forged = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert LINKS.open(forged) is None, place


@pytest.mark.parametrize(
    "token",
    ["", "a", "é", "%", "AAAA", "A" * 5000, "../x", pytest.param(LINKS.token(ABOUT)[:-4], id="cut short"), "=" * 8],
)
def test_link_is_no_link_is_nobodys(token: str) -> None:
    assert LINKS.open(token) is None


def test_link_of_another_installation_is_nobodys() -> None:
    assert SealedLinks(OLD, None).open(LINKS.token(ABOUT)) is None


def test_link_of_an_older_key_works_while_the_key_is_listed() -> None:
    token = SealedLinks(OLD, None).token(ABOUT)
    assert SealedLinks(f"{NEW}, {OLD}", None).open(token) == ABOUT
    assert SealedLinks(NEW, None).open(token) is None


@pytest.mark.parametrize("to", [{}, {"endpoint": ""}, "x" * 2000])
def test_address_is_missing_or_endless_has_no_link(to: str | dict[str, str]) -> None:
    assert LINKS.url("demo", Channel.PUSH, Category.MARKETING, to) is None


def test_hermod_without_a_public_address_has_no_links() -> None:
    assert SealedLinks(NEW, None).url("demo", Channel.EMAIL, Category.MARKETING, "ada@example.com") is None


def mail(**headers: str) -> Email:
    return Email(to="ada@example.com", subject="News", text="News", headers=headers)


def test_mail_gets_both_headers_over_https() -> None:
    assert with_unsubscribe(mail(), "https://h.example/u/x").headers == {
        "List-Unsubscribe": "<https://h.example/u/x>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def test_mail_gets_no_one_click_over_http() -> None:
    assert with_unsubscribe(mail(), "http://h.example/u/x").headers == {"List-Unsubscribe": "<http://h.example/u/x>"}


def test_mail_with_headers_of_its_own_keeps_them() -> None:
    own = mail(**{"list-unsubscribe": "<mailto:off@example.com>"})
    assert with_unsubscribe(own, "https://h.example/u/x") is own
