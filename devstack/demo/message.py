"""The demo: an e-mail and an SMS through the public API, followed until the sandbox has them and the ledger says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import httpx

from devstack.demo.seed import EMAIL_ACCOUNT, SMS_ACCOUNT
from devstack.errors import StackError

_DEADLINE = 20.0
_POLL = 0.05
_DONE: Final = ("sent", "delivered")
_GIVEN_UP: Final = ("failed", "unknown", "cancelled", "suppressed", "expired", "bounced", "complained")

# The accounts are named, so that the demo stays in the sandbox when the demo tenant has real accounts as well.
_MESSAGES: Final[tuple[Mapping[str, str], ...]] = (
    {
        "channel": "email",
        "to": "Ada Lovelace <ada@example.com>",
        "subject": "Hermod is running",
        "text": "This message went through the API, the ledger, a Temporal workflow and the SMTP adapter.",
        "provider_account": EMAIL_ACCOUNT,
    },
    {
        "channel": "sms",
        "to": "+14155550123",
        "body": "Hermod is running. This one went out through the Twilio adapter.",
        "provider_account": SMS_ACCOUNT,
    },
)


class Delivered(NamedTuple):
    """A message of the demo that arrived. `seconds` from the API call to the provider's answer in the ledger."""

    channel: str
    id: str
    account: str
    to: str
    words: str
    seconds: float


async def run_demo(url: str, api_key: str, sandbox_url: str) -> list[Delivered]:
    """Send both at once. Raises StackError, saying what the ledger knows, if one does not arrive."""
    headers = {"Authorization": f"Bearer {api_key}"}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=10, trust_env=False) as api,
        httpx.AsyncClient(base_url=sandbox_url, timeout=10, trust_env=False) as sandbox,
    ):
        try:
            return list(await asyncio.gather(*(_deliver(api, sandbox, message) for message in _MESSAGES)))
        except httpx.HTTPError as error:
            raise StackError(f"the demo's requests failed: {error!r}") from None


async def _deliver(api: httpx.AsyncClient, sandbox: httpx.AsyncClient, message: Mapping[str, str]) -> Delivered:
    begun = time.monotonic()
    answer = await api.post("/v1/messages", json=dict(message))
    if answer.status_code != httpx.codes.ACCEPTED:
        raise StackError(f"the demo's {message['channel']} was not accepted: {answer.status_code} {answer.text[:300]}")
    id = answer.json()["id"]
    view: dict[str, Any] = {}
    while time.monotonic() - begun < _DEADLINE:
        view = (await api.get(f"/v1/messages/{id}")).raise_for_status().json()
        if view["status"] in _GIVEN_UP:
            break
        if view["status"] in _DONE and await _arrived(sandbox, id, view["provider_message_id"]):
            words = message.get("subject") or message["body"]
            seconds = time.monotonic() - begun
            return Delivered(message["channel"], id, message["provider_account"], message["to"], words, seconds)
        await asyncio.sleep(_POLL)
    raise StackError(f"the demo's {message['channel']} {id} did not arrive; it is {view['status']}: {view['attempts']}")


async def _arrived(sandbox: httpx.AsyncClient, id: str, provider_message_id: str) -> bool:
    """Not every provider's wire carries our own id, so the provider's will do."""
    listed = (await sandbox.get("/_sandbox/inbox", params={"brief": "1"})).raise_for_status().json()
    return any(
        id == item["message_id"] or provider_message_id == item["provider_message_id"] for item in listed["items"]
    )
