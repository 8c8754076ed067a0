"""Stripe as a test makes it call: signed events, posted to the web application over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx

from devstack.demo.stripe_stand_in import printed, signed
from starter import Hermod
from starter.forms.payments import put_stripe_account

SECRET: Final = "whsec_stripe_stand_in"


@dataclass(frozen=True, slots=True)
class StripeSender:
    web: httpx.AsyncClient
    tenant: str
    secret: str = SECRET

    @property
    def path(self) -> str:
        return f"/ingress/stripe/{self.tenant}"

    async def post(self, body: bytes, *, secret: str | None = None, at: datetime | None = None) -> httpx.Response:
        """Any body at all, signed."""
        call = signed(body, secret or self.secret, at)
        return await self.web.post(self.path, content=call.body, headers=call.headers)

    async def send(self, *events: dict[str, Any]) -> None:
        """Events, one after another, each of which is taken."""
        for event in events:
            response = await self.post(printed(event))
            assert (response.status_code, response.content) == (200, b""), response.text


async def stripe_sender(hermod: Hermod, web: httpx.AsyncClient) -> StripeSender:
    """A tenant's account at Stripe, in test mode."""
    await put_stripe_account(hermod, {"secrets": [SECRET], "livemode": False})
    return StripeSender(web, hermod.tenant)
