"""Resend's webhooks, signed as Svix does it.

    POST, one event: {"type": "email.delivered", "created_at": "…", "data": {"email_id", "to": […], "tags": {…}, …}}
    svix-id: msg_…      svix-timestamp: unix seconds      svix-signature: v1,<base64> v1,<base64> …

A signature is HMAC-SHA256 over `{id}.{timestamp}.{body}`; while a secret is being rotated there are several, and one
that fits is enough. A repeated call has the same `svix-id` and a time of its own.

`data.to` names the recipients of the mail, not the one that the event is about: with several of them, the address of an
event is unknown.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any, Final

import orjson

from hermod.channels.calls import check_time, only_header, rfc3339
from hermod.channels.email.resend.mail import MESSAGE_ID_TAG
from hermod.channels.http_sender import provider_id, text_of
from hermod.channels.redaction import one_line
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.tenants.accounts import Account
from hermod.contracts.values.mailboxes import split_address
from hermod.ports.notifications.receipts import (
    Callback,
    Event,
    ParsedReceipt,
    ReceiptContext,
    SignatureInvalid,
    Unreadable,
)

_PREFIX: Final = "whsec_"
_VERSION: Final = "v1,"
_LONGEST_ID: Final = 200

WORDS: Final[dict[str, ReceiptEventType]] = {
    "email.sent": ReceiptEventType.ACCEPTED,
    "email.scheduled": ReceiptEventType.ACCEPTED,
    "email.delivered": ReceiptEventType.DELIVERED,
    "email.delivery_delayed": ReceiptEventType.DEFERRED,
    "email.bounced": ReceiptEventType.SOFT_BOUNCED,  # Transient, Undetermined, and old events that name no type
    "email.bounced/Permanent": ReceiptEventType.BOUNCED,
    "email.suppressed": ReceiptEventType.SUPPRESSED,
    "email.failed": ReceiptEventType.FAILED,
    "email.complained": ReceiptEventType.COMPLAINED,
    "email.opened": ReceiptEventType.OPENED,
    "email.clicked": ReceiptEventType.CLICKED,
}
"""Resend's types, alone or with the bounce's type behind a slash. The longer word counts where it is listed."""


_PARTS: Final = {"email.bounced": "bounce", "email.suppressed": "suppressed", "email.failed": "failed"}
"""Where in `data` an event says why."""


class ResendReceipts:
    """Implements `hermod.ports.notifications.receipts.ReceiptReader`."""

    async def read(self, call: Callback, account: Account, desk: ReceiptContext) -> ParsedReceipt:
        identity = verified(call, account.credentials.get("webhook_secret"), desk)
        try:
            body = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            raise Unreadable("the body is not JSON") from None
        if not isinstance(body, dict) or not isinstance(body.get("type"), str) or not body["type"]:
            raise Unreadable("the body is not an event of Resend's")
        return ParsedReceipt(events=(_event(identity, body),))


def verified(call: Callback, secret: str | None, desk: ReceiptContext) -> str:
    """The `svix-id` of a call whose signature fits. Raises SignatureInvalid."""
    key = signing_key(secret) if secret else None
    if key is None:
        raise SignatureInvalid("the account has no usable webhook_secret")
    identity, timestamp = only_header(call, "svix-id"), only_header(call, "svix-timestamp")
    check_time(timestamp, desk.now)
    content = f"{identity}.{timestamp}.".encode("utf-8", "surrogateescape") + call.body
    expected = base64.b64encode(hmac.digest(key, content, hashlib.sha256))
    given = call.headers.get("svix-signature", "")
    fits = [
        hmac.compare_digest(expected, signature.removeprefix(_VERSION).encode("utf-8", "surrogateescape"))
        for signature in given.split(" ")
        if signature.startswith(_VERSION)
    ]
    if not any(fits):
        raise SignatureInvalid("no signature fits")
    if len(identity) > _LONGEST_ID or not identity.isprintable():
        raise SignatureInvalid("svix-id is no id")
    return identity


def signing_key(secret: str) -> bytes | None:
    """The key behind `whsec_…`, or None where it is not base64."""
    text = secret.removeprefix(_PREFIX)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _event(identity: str, body: dict[str, Any]) -> Event:
    data = body["data"] if isinstance(body.get("data"), dict) else {}
    part = data.get(_PARTS.get(body["type"], ""))
    part = part if isinstance(part, dict) else {}
    kind = text_of(part.get("type")) if body["type"] == "email.bounced" else None
    word = f"{body['type']}/{kind}" if kind else body["type"]
    code, text = text_of(part.get("subType")) or text_of(part.get("reason")), text_of(part.get("message"))
    tags, to = data.get("tags"), data.get("to")
    return Event(
        id=identity,
        kind=WORDS.get(word) or WORDS.get(body["type"]) or ReceiptEventType.UNKNOWN,
        word=one_line(word),
        at=rfc3339(body.get("created_at")),
        message_id=provider_id(tags.get(MESSAGE_ID_TAG)) if isinstance(tags, dict) else None,
        provider_message_id=provider_id(data.get("email_id")),
        address=_only(to) if isinstance(to, list) else None,
        code=one_line(code) if code else None,
        text=one_line(text) if text else None,
    )


def _only(to: list[Any]) -> str | None:
    """The one recipient as a bare address; None where there are several, because the event does not say whose it is."""
    return split_address(to[0])[1] or None if len(to) == 1 and isinstance(to[0], str) else None
