"""Login by access token (XOAUTH2), as Gmail and Microsoft 365 want it: the credentials, and where tokens are got.

    POST {oauth_token_url}     grant_type=refresh_token&refresh_token=…&client_id=…[&client_secret=…][&scope=…]
                               grant_type=client_credentials&client_id=…&client_secret=…[&scope=…]

Without a refresh token it is the second. A new refresh token in an answer is not kept: the account's own stays good.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Final

import httpx

from hermod.channels.access_tokens import AccessTokens, form_request
from hermod.channels.http_sender import NoReply, answer_of
from hermod.contracts.errors import FieldError
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import HttpClient, Reply
from hermod.outbound.wiring import AdapterContext

CREDENTIALS: Final = (
    "oauth_token_url",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_refresh_token",
    "oauth_scope",
)


def faults(credentials: Mapping[str, str], guard: AddressGuard) -> Iterator[FieldError]:
    """What is wrong with the credentials of a login by token; nothing where there are none."""
    given = [name for name in CREDENTIALS if name in credentials]
    if not given:
        return
    if "password" in credentials:
        yield FieldError("credentials.password", "give either a password or what an access token is got with")
    for name in ("username", "oauth_token_url", "oauth_client_id"):
        if not credentials.get(name):
            yield FieldError(f"credentials.{name}", "missing: a login by access token needs it")
    if not (credentials.get("oauth_refresh_token") or credentials.get("oauth_client_secret")):
        yield FieldError("credentials.oauth_refresh_token", "missing: give a refresh token, or else a client secret")
    url = credentials.get("oauth_token_url")
    if url and (fault := guard.url_fault(url)) is not None:
        yield FieldError("credentials.oauth_token_url", fault)


def token_request(credentials: Mapping[str, str], now: datetime) -> httpx.Request:
    fields = {"client_id": credentials["oauth_client_id"]}
    if "oauth_client_secret" in credentials:
        fields["client_secret"] = credentials["oauth_client_secret"]
    if "oauth_refresh_token" in credentials:
        fields |= {"grant_type": "refresh_token", "refresh_token": credentials["oauth_refresh_token"]}
    else:
        fields["grant_type"] = "client_credentials"
    if "oauth_scope" in credentials:
        fields["scope"] = credentials["oauth_scope"]
    return form_request(credentials["oauth_token_url"], fields)


class MailTokens:
    """The access tokens of one account."""

    def __init__(self, credentials: Mapping[str, str], wiring: AdapterContext, deadline: float) -> None:
        self._client = HttpClient(wiring.guard, wiring.http)
        self._deadline = deadline
        self._tokens = AccessTokens(partial(token_request, credentials), self._exchange, wiring.clock)

    async def ensure(self) -> str:
        """The token to use. Raises NoToken."""
        return await self._tokens.ensure()

    async def instead_of(self, refused: str) -> str:
        """Another token than the one that was refused. Raises NoToken."""
        await self._tokens.replace(refused)
        return self._tokens.value

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _exchange(self, request: httpx.Request) -> Reply | NoReply:
        return await answer_of(self._client.exchange(request, deadline=self._deadline))
