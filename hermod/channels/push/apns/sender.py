"""Apple's push service, over HTTP/2 only.

    POST https://api.push.apple.com/3/device/{token}     authorization: bearer <JWT>, apns-topic, apns-push-type, …
    {"aps": {"alert": {"title", "body"}, "sound": "default"}, "hermod_message_id": "msg_…", …}
    200, apns-id: <UUID>
    4xx {"reason": "BadDeviceToken"}     410 {"reason": "Unregistered", "timestamp": <milliseconds>}

`data` stands beside `aps`; `url` and `image` travel as keys of those names, for the app to open and to show (its
notification service extension is asked for pictures). There is no idempotency key: apns-id is the same in every attempt
so that it can be traced, and Apple does not look at it. Apple reports nothing back.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, cast

import httpx
import orjson

from hermod.channels.http_sender import HttpSender, json_object, text_of
from hermod.channels.push.apns.codes import EXPIRED_JWT, MEANINGS, NEW_CONNECTION, TOO_MANY_JWTS_WAIT, Meaning
from hermod.channels.push.apns.provider_token import ProviderToken, WrongKey, private_key
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent, Channel, Push
from hermod.contracts.notifications.messages import Category
from hermod.contracts.notifications.outcomes import (
    AccountHalted,
    AnyOutcome,
    Fault,
    MessageRejected,
    RecipientRejected,
    Throttled,
    Transient,
)
from hermod.contracts.tenants.accounts import Account
from hermod.domain.notifications.push_tokens import Platform, platform
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.http.http2 import Http2Client
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

HOSTS: Final = {"production": "https://api.push.apple.com", "sandbox": "https://api.sandbox.push.apple.com"}
"""By `environment`: `sandbox` is for apps that Xcode put on a device."""
MESSAGE_ID: Final = "hermod_message_id"
"""The key beside `aps` under which the app finds our id."""
LONGEST_PAYLOAD: Final = 4096
_SAMPLE_ID: Final = "msg_" + "0" * 28
_IDENTIFIER: Final = re.compile(r"[0-9A-Z]{10}")
_TOPIC: Final = re.compile(r"[A-Za-z0-9.-]{1,255}")
_PRIORITIES: Final = {Category.TRANSACTIONAL: "10", Category.MARKETING: "5"}


class ApnsSender(HttpSender):
    capability = Capability(
        provider="apns",
        title="Apple Push Notification service",
        channels=frozenset({Channel.PUSH}),
        max_bytes=LONGEST_PAYLOAD,
        credentials=("key_id", "team_id", "private_key", "topic", "environment"),
        optional_credentials=("environment",),
        key_files=("private_key",),
        base_url=HOSTS["production"],
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        credentials = account.credentials
        self._token = ProviderToken(
            key_id=credentials["key_id"],
            team_id=credentials["team_id"],
            private_key=private_key(credentials["private_key"]),
        )
        self._topic = credentials["topic"]
        self._origin = _origin(account)

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        yield from super().check(credentials, base_url, guard)
        for name in ("key_id", "team_id"):
            if credentials.get(name) and not _IDENTIFIER.fullmatch(credentials[name]):
                yield FieldError(f"credentials.{name}", "must be ten capital letters and digits")
        if credentials.get("topic") and not _TOPIC.fullmatch(credentials["topic"]):
            yield FieldError("credentials.topic", "must be the app's bundle id, like com.example.app")
        if "environment" in credentials and credentials["environment"] not in HOSTS:
            yield FieldError("credentials.environment", f"must be one of {', '.join(HOSTS)}")
        if credentials.get("private_key"):
            try:
                private_key(credentials["private_key"])
            except WrongKey as wrong:
                yield FieldError("credentials.private_key", str(wrong))

    def client(self, wiring: AdapterContext) -> Http2Client:
        return Http2Client(httpx.URL(_origin(self.account)), wiring.guard, wiring.http)

    def cannot_express(self, content: AnyContent) -> str | None:
        if not isinstance(content, Push):
            return "it sends push messages only"
        if platform(content.to) is not Platform.APNS:
            return "the token is not one of Apple's (hex digits)"
        for name in ("aps", MESSAGE_ID):
            if name in content.data:
                return f"data.{name} belongs to the payload itself"
        for name, value in (("url", content.url), ("image", content.image)):
            if value is not None and content.data.get(name, value) != value:
                return f"the {name} travels as a key of that name, where data has another one"
        if content.collapse_key is not None and not content.collapse_key.isascii():
            return "the collapse_key must be ASCII: it travels in a header"
        size = len(_payload(content, _SAMPLE_ID))
        if size > LONGEST_PAYLOAD:
            return f"the payload has {size} bytes, and Apple takes {LONGEST_PAYLOAD}"
        return None

    async def send(self, message: Outgoing) -> AnyOutcome:
        used = self._token.value(self._clock.now())
        outcome = await super().send(message)
        if outcome.error_code == EXPIRED_JWT and self._token.replaced(used, self._clock.now()):
            outcome = await super().send(message)
        if outcome.error_code in NEW_CONNECTION:
            cast(Http2Client, self._client).renew()
        return outcome

    def request(self, message: Outgoing) -> httpx.Request:
        push, now = cast(Push, message.content), self._clock.now()
        shown = _is_shown(push)
        headers = [
            ("authorization", f"bearer {self._token.value(now)}"),
            ("apns-topic", self._topic),
            ("apns-push-type", "alert" if shown else "background"),
            ("apns-id", apns_id(message.id)),
            ("apns-priority", _PRIORITIES[message.category] if shown else "5"),
        ]
        if push.ttl_seconds is not None:
            until = now + timedelta(seconds=push.ttl_seconds)
            headers.append(("apns-expiration", str(int(until.timestamp())) if push.ttl_seconds else "0"))
        if push.collapse_key:
            headers.append(("apns-collapse-id", push.collapse_key))
        url = httpx.URL(f"{self._origin}/3/device/{cast(str, push.to).lower()}")
        return self.post(url, headers, _payload(push, message.id), message)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        if reply.status == 200:
            return self.accepted(reply, reply.headers.get("apns-id") or apns_id(message.id))
        reason = text_of(json_object(reply).get("reason"))
        meaning = MEANINGS.get(reason or "")
        if reason is None or meaning is None:
            return self.by_status(reply, code=reason, text=f"APNs: {reason}" if reason else None)
        return self._coded(meaning, reply, reason)

    def _coded(self, meaning: Meaning, reply: Reply, reason: str) -> AnyOutcome:
        status, error, wait = reply.status, f"APNs: {reason}", self.wait(reply)
        match meaning:
            case Meaning.WRONG_TOKEN:
                return RecipientRejected(status_code=status, error_code=reason, error=error, fault=Fault.WRONG_TOKEN)
            case Meaning.UNREGISTERED:
                return RecipientRejected(status_code=status, error_code=reason, error=error, fault=Fault.UNREGISTERED)
            case Meaning.MESSAGE:
                return MessageRejected(status_code=status, error_code=reason, error=error)
            case Meaning.ACCOUNT:
                return AccountHalted(status_code=status, error_code=reason, error=error)
            case Meaning.LATER:
                return Transient(status_code=status, error_code=reason, error=error, retry_after=wait)
            case Meaning.THROTTLED:
                wait = TOO_MANY_JWTS_WAIT if wait is None else wait
                return Throttled(status_code=status, error_code=reason, error=error, retry_after=wait)


def apns_id(message_id: str) -> str:
    """Apple's name for our message: a UUID that follows from ours, in lower case."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, message_id))


def _origin(account: Account) -> str:
    environment = account.credentials.get("environment", "production")
    return (account.base_url or HOSTS[environment]).rstrip("/")


def _is_shown(push: Push) -> bool:
    """Whether the device shows something; else the app is woken to take the data."""
    return bool(push.title or push.body)


def _payload(push: Push, message_id: str) -> bytes:
    aps: dict[str, Any] = {}
    if _is_shown(push):
        words = {"title": push.title, "body": push.body}
        aps["alert"] = {name: value for name, value in words.items() if value}
        aps["sound"] = "default"
        if push.image is not None:
            aps["mutable-content"] = 1
    else:
        aps["content-available"] = 1
    extra = {"url": push.url, "image": push.image}
    return orjson.dumps(
        {**push.data, **{name: value for name, value in extra.items() if value}, MESSAGE_ID: message_id, "aps": aps}
    )
