"""The parts of the SMTP adapter that need no server: its settings, and what it can carry."""

from __future__ import annotations

from typing import Any

import pytest

from hermod.channels.email.smtp.connections import Server
from hermod.channels.email.smtp.sender import SmtpSender, server_of
from hermod.contracts.notifications.messages import Outcome
from hermod.outbound.addresses.guard import AddressGuard
from tests.unit.channels.samples import account, email, outgoing, sms, wiring


def sender(**changes: Any) -> SmtpSender:
    return SmtpSender(account("smtp", **changes), wiring())


@pytest.mark.parametrize(
    ("credentials", "port", "tls"),
    [
        ({}, 587, "starttls"),
        ({"port": "587"}, 587, "starttls"),
        ({"port": "2525"}, 2525, "starttls"),
        ({"port": "25"}, 25, "starttls"),
        ({"port": "465"}, 465, "tls"),
        ({"tls": "tls"}, 465, "tls"),
        ({"tls": "none"}, 25, "none"),
        ({"port": "465", "tls": "starttls"}, 465, "starttls"),
        ({"port": "8025", "tls": "none"}, 8025, "none"),
    ],
)
def test_server_is_secured_unless_the_account_says_none(credentials: dict[str, str], port: int, tls: str) -> None:
    server = server_of({"host": "mail.example.com", **credentials})
    assert server == Server(host="mail.example.com", port=port, tls=tls, username=None, password=None)


def test_content_that_smtp_cannot_carry_is_named() -> None:
    assert "email only" in (sender().cannot_express(sms()) or "")
    assert "from" in (sender(from_=None).cannot_express(email()) or "")
    copies = [f"c{number}@example.com" for number in range(50)]
    assert "101" in (sender().cannot_express(email(cc=copies, bcc=copies)) or "")
    assert sender().cannot_express(email()) is None


async def test_send_to_a_literal_address_off_limits_halts_the_account() -> None:
    smtp = sender(credentials={"host": "127.0.0.1", "tls": "none"})
    outcome = await smtp.send(outgoing(email()))
    assert (outcome.kind, outcome.error_code) == (Outcome.ACCOUNT_HALTED, "address_refused")
    await smtp.aclose()


async def test_send_from_what_is_no_address_refuses_the_message() -> None:
    smtp = sender()
    outcome = await smtp.send(outgoing(email(), sender="nobody"))
    assert outcome.kind is Outcome.MESSAGE_REJECTED
    await smtp.aclose()


TOKEN = {
    "host": "smtp.example.com",
    "username": "shop@example.com",
    "oauth_token_url": "https://login.example.com/token",
    "oauth_client_id": "client",
    "oauth_refresh_token": "refresh",
}


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, []),
        ({"oauth_refresh_token": None, "oauth_client_secret": "secret"}, []),
        ({"oauth_client_secret": "secret", "oauth_scope": "mail"}, []),
        ({"password": "p"}, ["credentials.password"]),
        ({"username": None}, ["credentials.username"]),
        ({"oauth_client_id": None}, ["credentials.oauth_client_id"]),
        ({"oauth_token_url": None}, ["credentials.oauth_token_url"]),
        ({"oauth_refresh_token": None}, ["credentials.oauth_refresh_token"]),
        ({"oauth_token_url": "login.example.com"}, ["credentials.oauth_token_url"]),
        ({"oauth_token_url": "https://127.0.0.1/token"}, ["credentials.oauth_token_url"]),
    ],
)
def test_credentials_of_a_login_by_token_are_checked_by_name(changes: dict[str, str | None], fields: list[str]) -> None:
    given = {name: value for name, value in (TOKEN | changes).items() if value is not None}
    assert [fault.field for fault in SmtpSender.check(given, None, AddressGuard(allow_private=False))] == fields
