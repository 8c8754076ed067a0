"""Login at a mail server by access token (XOAUTH2): where the token comes from, how long it is used, what fails how."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from hermod.contracts.notifications.messages import Outcome
from tests.integration.conformance.email.test_smtp_stages import hosting, outgoing
from tests.integration.conformance.scripted import answer, read_request, serving

OFFERED = "250-mail.example.com\r\n250 AUTH LOGIN XOAUTH2"
ACCOUNT = {"username": "shop@example.com", "oauth_client_id": "client-of-the-shop"}
REFRESH = {"oauth_refresh_token": "refresh-token-of-the-shop"}
REFUSED = base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode()


class TokenServer:
    """Gives `token-1`, `token-2` and so on, or answers as it is told."""

    def __init__(self) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.reply: bytes | None = None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            self.forms.append(parse_qs(request.partition(b"\r\n\r\n")[2].decode()))
            body = orjson.dumps({"access_token": f"token-{len(self.forms)}", "expires_in": 3599})
            writer.write(self.reply or answer("200 OK", body, "Content-Type: application/json"))
            await writer.drain()


@asynccontextmanager
async def office(
    settings: dict[str, str], auth: str | Callable[[str], str] = "235 2.7.0 OK", **script: Any
) -> AsyncIterator[tuple[TokenServer, Any, Any]]:
    tokens = TokenServer()
    async with serving(tokens.handle) as port:
        credentials = ACCOUNT | settings | {"oauth_token_url": f"http://127.0.0.1:{port}/token"}
        async with hosting(credentials, **({"EHLO": OFFERED, "AUTH": auth} | script)) as (host, sender):
            yield tokens, host, sender


def shown(command: str) -> str:
    """What an AUTH command says."""
    verb, mechanism, said = command.split(" ")
    assert (verb, mechanism) == ("AUTH", "XOAUTH2")
    return base64.b64decode(said).decode()


@pytest.mark.parametrize(
    ("settings", "form"),
    [
        (REFRESH, {"grant_type": ["refresh_token"], "refresh_token": ["refresh-token-of-the-shop"]}),
        (
            {"oauth_client_secret": "s3cret-of-the-client", "oauth_scope": "https://outlook.office365.com/.default"},
            {
                "grant_type": ["client_credentials"],
                "client_secret": ["s3cret-of-the-client"],
                "scope": ["https://outlook.office365.com/.default"],
            },
        ),
    ],
)
async def test_login_shows_a_token_that_is_asked_for_once(settings: dict[str, str], form: dict[str, list[str]]) -> None:
    async with office(settings) as (tokens, host, sender):
        outcomes = await asyncio.gather(*(sender.send(outgoing()) for _ in range(3)))
    assert {outcome.kind for outcome in outcomes} == {Outcome.ACCEPTED}
    assert tokens.forms == [form | {"client_id": ["client-of-the-shop"]}]
    assert {shown(said[1]) for said in host.connections} == {"user=shop@example.com\x01auth=Bearer token-1\x01\x01"}


async def test_login_with_a_token_that_was_taken_back_is_made_again_with_another() -> None:
    def judge(command: str) -> str:
        return "235 2.7.0 OK" if "token-2" in shown(command) else "535 5.7.8 not accepted"

    async with office(REFRESH, judge) as (tokens, host, sender):
        assert (await sender.send(outgoing())).kind is Outcome.ACCEPTED
    assert len(tokens.forms) == 2
    assert [said[1].split(" ")[0] for said in host.connections] == ["AUTH", "AUTH"]


async def test_login_refused_with_every_token_halts_the_account() -> None:
    async with office(REFRESH, f"334 {REFUSED}", **{"": "535 5.7.8 not accepted"}) as (tokens, host, sender):
        outcome = await sender.send(outgoing())
    assert outcome.kind is Outcome.ACCOUNT_HALTED
    assert len(tokens.forms) == 2
    assert host.mails == []


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer("400 Bad Request", b'{"error": "invalid_grant"}', "Content-Type: application/json"), "account_halted"),
        (answer("503 Service Unavailable"), "transient"),
        (answer("429 Too Many Requests", b"", "Retry-After: 7"), "throttled"),
        (answer("200 OK", b"{}", "Content-Type: application/json"), "transient"),
    ],
)
async def test_no_token_means_that_nobody_is_called(reply: bytes, kind: str) -> None:
    async with office(REFRESH) as (tokens, host, sender):
        tokens.reply = reply
        outcome = await sender.send(outgoing())
    assert outcome.kind.value == kind
    assert "refresh-token" not in (outcome.error or "")
    assert host.connections == []


async def test_server_without_that_login_halts_the_account() -> None:
    async with office(REFRESH, EHLO="250-mail.example.com\r\n250 AUTH PLAIN") as (_, host, sender):
        outcome = await sender.send(outgoing())
    assert (outcome.kind, outcome.error_code) == (Outcome.ACCOUNT_HALTED, "auth")
    assert "XOAUTH2" in (outcome.error or "")
    assert host.verbs == [["EHLO"]]
