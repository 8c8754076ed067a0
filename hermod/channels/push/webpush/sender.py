"""Web Push (RFC 8030): each browser's own push service, at the address that its subscription names.

    POST <endpoint of the subscription>     TTL, Urgency, Topic, Authorization: vapid t=<JWT>, k=<our public key>
    201 Location: <the message's own URL>

The body is encrypted for the browser: JSON with `title body image url data message_id`, for the page's service worker
to show. The account's address is not used, and there is no idempotency key; a `Topic` (from `collapse_key`) replaces
an older message of the same topic that still waits at the push service.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, cast
from urllib.parse import urlsplit

import httpx
import orjson

from hermod.channels.http_sender import HttpSender, json_object, text_of
from hermod.channels.push.webpush.codes import ACCEPTED, MEANINGS, Meaning
from hermod.channels.push.webpush.encryption import LONGEST_PLAINTEXT, Once, Reader, WrongKeys, b64url, encrypt, fresh
from hermod.channels.push.webpush.endpoints import endpoint_fault, host_patterns, is_pattern, origin
from hermod.channels.push.webpush.vapid import Vapid, WrongKey, private_key
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent, Channel, Push
from hermod.contracts.notifications.messages import Category
from hermod.contracts.notifications.outcomes import AccountHalted, AnyOutcome, Fault, RecipientRejected, Transient
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

FOUR_WEEKS: Final = 2_419_200
"""Seconds that a push service keeps a message that names no time of its own; they may shorten it."""

_URGENCY: Final = {Category.TRANSACTIONAL: "normal", Category.MARKETING: "low"}
"""`low` waits for a phone that is charged or on Wi-Fi."""
_ID_LIKE: Final = "msg_" + "0" * 28
_REFUSED: Final[dict[Meaning, Fault]] = {
    Meaning.UNREGISTERED: Fault.UNREGISTERED,
    Meaning.WRONG_TOKEN: Fault.WRONG_TOKEN,
    Meaning.UNREACHABLE: Fault.UNREACHABLE,
}


class WebPushSender(HttpSender):
    capability = Capability(
        provider="webpush",
        title="Web Push",
        channels=frozenset({Channel.PUSH}),
        retry_after=True,
        max_bytes=4096,
        credentials=("vapid_private_key", "subject", "allowed_hosts"),
        optional_credentials=("allowed_hosts",),
        recipient_hosts=True,
        key_files=("vapid_private_key",),
    )
    once: ClassVar = staticmethod(fresh)
    """Gives the key and the salt of one message."""

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        credentials = account.credentials
        self._guard = wiring.guard
        self._vapid = Vapid(private_key(credentials["vapid_private_key"]), credentials["subject"])
        self._allowed = host_patterns(credentials.get("allowed_hosts", ""))

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        if base_url is not None:
            yield FieldError("base_url", "is not used: each subscription names the address of its push service")
        yield from (fault for fault in super().check(credentials, None, guard) if fault.field != "base_url")
        if key := credentials.get("vapid_private_key"):
            try:
                private_key(key)
            except WrongKey as reason:
                yield FieldError("credentials.vapid_private_key", str(reason))
        subject = credentials.get("subject")
        if subject and not _is_subject(subject):
            yield FieldError(
                "credentials.subject", "must be where you are reached: mailto:you@example.com or https://…"
            )
        for pattern in host_patterns(credentials.get("allowed_hosts", "")):
            if not is_pattern(pattern):
                yield FieldError("credentials.allowed_hosts", "must be host names like fcm.googleapis.com, *.apple.com")

    def cannot_express(self, content: AnyContent) -> str | None:
        if not isinstance(content, Push):
            return "it sends push messages only"
        if isinstance(content.to, str):
            return "the token is not a Web Push subscription (an object with endpoint and keys)"
        fault = endpoint_fault(content.to.get("endpoint"), self._guard, self._allowed)
        if fault is not None:
            return fault
        try:
            Reader.of(content.to.get("keys"))
        except WrongKeys as reason:
            return f"the subscription's {reason}"
        if (size := len(_payload(content, _ID_LIKE))) > LONGEST_PLAINTEXT:
            return f"it has {size} bytes as JSON, and a push service takes {LONGEST_PLAINTEXT}"
        return None

    def request(self, message: Outgoing) -> httpx.Request:
        push = cast(Push, message.content)
        subscription = cast(dict[str, Any], push.to)
        url = httpx.URL(subscription["endpoint"])
        headers = [
            ("content-type", "application/octet-stream"),
            ("content-encoding", "aes128gcm"),
            ("ttl", str(FOUR_WEEKS if push.ttl_seconds is None else push.ttl_seconds)),
            ("urgency", _URGENCY[message.category]),
            ("authorization", self._vapid.authorization(origin(url), self._clock.now())),
        ]
        if push.collapse_key is not None:
            headers.append(("topic", _topic(push.collapse_key)))
        once: Once = self.once()
        body = encrypt(_payload(push, message.id), Reader.of(subscription["keys"]), once)
        return self.post(url, headers, body, message)

    async def send(self, message: Outgoing) -> AnyOutcome:
        outcome = await super().send(message)
        if isinstance(outcome, AccountHalted) and outcome.error_code == "address_refused":
            # The address is the subscription's, not the account's.
            return RecipientRejected(error_code=outcome.error_code, error=outcome.error, fault=Fault.UNREACHABLE)
        return outcome

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        status = reply.status
        if status in ACCEPTED:
            return self.accepted(reply, reply.headers.get("location"))
        answer = json_object(reply)
        code = text_of(answer.get("reason")) or text_of(answer.get("errno"))
        text = text_of(answer.get("message")) or code
        meaning = MEANINGS.get(status)
        if meaning is None:
            return self.by_status(reply, code=code, text=text)
        error = self.line(text) if text else f"HTTP {status}"
        if meaning is Meaning.BUSY:
            return Transient(status_code=status, error_code=code, error=error, retry_after=self.wait(reply))
        return RecipientRejected(status_code=status, error_code=code, error=error, fault=_REFUSED[meaning])


def _payload(push: Push, message: str) -> bytes:
    """What the service worker gets."""
    fields = {
        "title": push.title,
        "body": push.body,
        "image": push.image,
        "url": push.url,
        "data": push.data or None,
        "message_id": message,
    }
    return orjson.dumps({name: value for name, value in fields.items() if value is not None})


def _topic(collapse_key: str) -> str:
    """32 characters of base64url, which is all that a topic may have."""
    return b64url(hashlib.sha256(collapse_key.encode()).digest()[:24])


def _is_subject(text: str) -> bool:
    parts = urlsplit(text)
    return (parts.scheme == "mailto" and "@" in parts.path) or (parts.scheme == "https" and bool(parts.netloc))
