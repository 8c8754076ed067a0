"""Expo's push service, which passes on to Apple's and Google's for apps that are built with Expo.

    POST https://exp.host/--/api/v2/push/send     [{"to": "ExponentPushToken[…]", "title": …}, … up to 100]
    200 {"data": [{"status": "ok", "id": "<ticket>"}, {"status": "error", "details": {"error": "DeviceNotRegistered"}}]}
    4xx {"errors": [{"code": "PUSH_TOO_MANY_EXPERIENCE_IDS", "message": "…"}]}     nothing of it was taken

A 200 says nothing by itself: each message has a ticket of its own, in the order of the request. The receipt of a ticket
tells later whether Apple or Google took the message; Expo calls nobody, so it is asked for (`poll`). There is no
idempotency key: our id travels in `data`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

import httpx
import orjson

from hermod.channels.http_sender import HttpSender, NoReply, is_html, json_object, provider_id, text_of
from hermod.channels.push.expo.codes import REQUESTS, TICKETS, Meaning
from hermod.channels.push.expo.receipts import LONGEST_POLL, read_receipts
from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.content import AnyContent, Channel, Push
from hermod.contracts.notifications.messages import Category
from hermod.contracts.notifications.outcomes import (
    Accepted,
    AccountHalted,
    AnyOutcome,
    Fault,
    MessageRejected,
    OutcomeUnknown,
    RecipientRejected,
    Throttled,
    Transient,
)
from hermod.contracts.tenants.accounts import Account
from hermod.domain.notifications.push_tokens import Platform, platform
from hermod.outbound.http.client import Reply
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.receipts import Event
from hermod.ports.notifications.sender import Capability, Outgoing

MESSAGE_ID: Final = "hermod_message_id"
"""The key of `data` under which the app finds our id."""
MOST_REQUESTS: Final = 6
"""Under way at once; Expo asks for no more."""

_TOKEN: Final = re.compile(r"Expo(?:nent)?PushToken\[[^\]]*\]?")
_PRIORITIES: Final = {Category.TRANSACTIONAL: "high", Category.MARKETING: "default"}


class ExpoSender(HttpSender):
    """Implements `hermod.ports.notifications.sender.BatchSender` and
    `hermod.ports.notifications.receipts.ReceiptPoller`.
    """

    capability = Capability(
        provider="expo",
        title="Expo",
        channels=frozenset({Channel.PUSH}),
        max_batch=100,
        credentials=("access_token",),
        optional_credentials=("access_token",),
        base_url="https://exp.host",
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        self._send_url = httpx.URL(f"{self._base_url}/--/api/v2/push/send")
        self._poll_url = httpx.URL(f"{self._base_url}/--/api/v2/push/getReceipts")
        self._headers = [("content-type", "application/json"), ("accept", "application/json")]
        if "access_token" in account.credentials:
            self._headers.append(("authorization", f"Bearer {account.credentials['access_token']}"))
        self._turns = asyncio.Semaphore(MOST_REQUESTS)

    def cannot_express(self, content: AnyContent) -> str | None:
        if not isinstance(content, Push):
            return "it sends push messages only"
        if platform(content.to) is not Platform.EXPO:
            return "the token is not one of Expo's (ExponentPushToken[…])"
        if content.collapse_key is not None:
            return "Expo knows no collapse_key"
        if content.url is not None and content.data.get("url", content.url) != content.url:
            return "the url travels in data.url, where the message has another one"
        if MESSAGE_ID in content.data:
            return f"data.{MESSAGE_ID} belongs to Hermod"
        return None

    def batchable(self, content: AnyContent) -> bool:
        return True

    async def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[AnyOutcome]:
        fresh = any(message.attempt > 1 for message in messages)
        return await self.send_together(messages, self.carrying, self.outcomes, fresh=fresh)

    async def exchange(self, request: httpx.Request, *, fresh: bool = False) -> Reply | NoReply:
        async with self._turns:
            return await super().exchange(request, fresh=fresh)

    def request(self, message: Outgoing) -> httpx.Request:
        return self.carrying([message])

    def carrying(self, messages: Sequence[Outgoing]) -> httpx.Request:
        """The one request for these messages. Pure."""
        body = orjson.dumps([_message(message) for message in messages])
        same = len({message.request_id for message in messages}) == 1
        return self.post(
            self._send_url, self._headers, body, messages[0] if same else replace(messages[0], request_id=None)
        )

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        return self.outcomes(reply, [message])[0]

    def outcomes(self, reply: Reply, messages: Sequence[Outgoing]) -> list[AnyOutcome]:
        """What the answer means for each message. Pure, and never raises."""
        tickets = self._tickets(reply, len(messages))
        if tickets is not None:
            return [self._by_ticket(reply, ticket) for ticket in tickets]
        return [self._whole(reply)] * len(messages)

    async def poll(self, ids: Sequence[str]) -> list[Event]:
        events: list[Event] = []
        for at in range(0, len(ids), LONGEST_POLL):
            body = orjson.dumps({"ids": list(ids[at : at + LONGEST_POLL])})
            reply = await self.exchange(httpx.Request("POST", self._poll_url, headers=self._headers, content=body))
            if not isinstance(reply, Reply):
                raise Unavailable(f"Expo gives no receipts: {reply.error}")
            receipts = json_object(reply).get("data")
            if reply.status != 200 or not isinstance(receipts, dict):
                raise Unavailable(f"Expo gives no receipts: HTTP {reply.status}")
            events += read_receipts(receipts, self._words)
        return events

    def _tickets(self, reply: Reply, count: int) -> list[dict[str, Any]] | None:
        """A ticket for each message, or None where the answer has none that could be told apart."""
        data = json_object(reply).get("data") if reply.status == 200 else None
        tickets = [data] if isinstance(data, dict) else data
        if isinstance(tickets, list) and len(tickets) == count and all(isinstance(one, dict) for one in tickets):
            return tickets
        return None

    def _by_ticket(self, reply: Reply, ticket: dict[str, Any]) -> AnyOutcome:
        status = reply.status
        if ticket.get("status") == "ok":
            return Accepted(status_code=status, provider_id=provider_id(ticket.get("id")))
        if ticket.get("status") != "error":
            return OutcomeUnknown(
                status_code=status, error_code="ticket", error="a ticket that says neither ok nor error"
            )
        details = ticket.get("details")
        code = text_of(details.get("error")) if isinstance(details, dict) else None
        meaning = TICKETS.get(code or "", Meaning.MESSAGE)
        return self._coded(meaning, reply, code, text_of(ticket.get("message")) or f"Expo error {code}")

    def _whole(self, reply: Reply) -> AnyOutcome:
        errors = json_object(reply).get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
        code, text = text_of(first.get("code")), text_of(first.get("message"))
        meaning = REQUESTS.get(code or "") if reply.status < 500 else None
        if meaning is not None:
            return self._coded(meaning, reply, code, text or f"Expo error {code}")
        if reply.status == 200:
            kind = "html" if is_html(reply) else "no_ticket"
            return OutcomeUnknown(status_code=200, error_code=code or kind, error="an answer without tickets")
        return self.by_status(reply, code=code, text=self._words(text) if text else None)

    def _coded(self, meaning: Meaning, reply: Reply, code: str | None, text: str) -> AnyOutcome:
        status, error = reply.status, self._words(text)
        match meaning:
            case Meaning.UNREGISTERED:
                return RecipientRejected(status_code=status, error_code=code, error=error, fault=Fault.UNREGISTERED)
            case Meaning.MESSAGE:
                return MessageRejected(status_code=status, error_code=code, error=error)
            case Meaning.LATER:
                return Transient(status_code=status, error_code=code, error=error, retry_after=self.wait(reply))
            case Meaning.THROTTLED:
                return Throttled(status_code=status, error_code=code, error=error, retry_after=self.wait(reply))
            case Meaning.ACCOUNT:
                return AccountHalted(status_code=status, error_code=code, error=error)

    def _words(self, text: str) -> str:
        """Expo's words for people, which like to quote the token."""
        return self.line(_TOKEN.sub("[token]", text))


def _message(message: Outgoing) -> dict[str, Any]:
    push = cast(Push, message.content)
    data = {**push.data, MESSAGE_ID: message.id}
    if push.url is not None:
        data["url"] = push.url
    fields = {
        "to": push.to,
        "title": push.title,
        "body": push.body,
        "data": data,
        "ttl": push.ttl_seconds,
        "priority": _PRIORITIES[message.category],
        "richContent": {"image": push.image} if push.image is not None else None,
    }
    return {name: value for name, value in fields.items() if value is not None}
