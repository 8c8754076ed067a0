"""The sandbox's reports: the simplest there can be, and the reader to look at first.

POST {"events": [{"id", "type": "message.delivered", "at", "message_id": "sbx_…", "reference": "msg_…", "to",
                  "code", "text", "words"}]}
sandbox-timestamp: unix seconds      sandbox-signature: hex of HMAC-SHA256(webhook_secret, timestamp "." body)
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import orjson

from hermod.channels.calls import check_time, only_header, rfc3339
from hermod.channels.http_sender import provider_id, text_of
from hermod.channels.redaction import one_line
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.tenants.accounts import Account
from hermod.ports.notifications.receipts import (
    Callback,
    Event,
    ParsedReceipt,
    ReceiptContext,
    SignatureInvalid,
    Unreadable,
)

WORDS: Final[dict[str, ReceiptEventType]] = {
    "message.sent": ReceiptEventType.ACCEPTED,
    "message.delivered": ReceiptEventType.DELIVERED,
    "message.read": ReceiptEventType.READ,
    "message.opened": ReceiptEventType.OPENED,
    "message.clicked": ReceiptEventType.CLICKED,
    "message.delayed": ReceiptEventType.DEFERRED,
    "message.bounced": ReceiptEventType.BOUNCED,
    "message.blocked": ReceiptEventType.SOFT_BOUNCED,
    "message.failed": ReceiptEventType.FAILED,
    "message.dropped": ReceiptEventType.SUPPRESSED,
    "message.complained": ReceiptEventType.COMPLAINED,
    "recipient.unsubscribed": ReceiptEventType.UNSUBSCRIBED,
    "recipient.resubscribed": ReceiptEventType.RESUBSCRIBED,
    "recipient.gone": ReceiptEventType.UNREGISTERED,
    "message.received": ReceiptEventType.INBOUND,
}


class SandboxReceipts:
    """Implements `hermod.ports.notifications.receipts.ReceiptReader`."""

    async def read(self, call: Callback, account: Account, desk: ReceiptContext) -> ParsedReceipt:
        _check(call, account, desk)
        try:
            body = orjson.loads(call.body)
        except orjson.JSONDecodeError as reason:
            raise Unreadable("the body is not JSON") from reason
        events = body.get("events") if isinstance(body, dict) else None
        if not isinstance(events, list):
            raise Unreadable("there is no list of events")
        return ParsedReceipt(events=tuple(map(_event, events)))


def _check(call: Callback, account: Account, desk: ReceiptContext) -> None:
    """Raises SignatureInvalid."""
    secret = account.credentials.get("webhook_secret")
    if not secret:
        raise SignatureInvalid("the account has no webhook_secret")
    timestamp, signature = only_header(call, "sandbox-timestamp"), only_header(call, "sandbox-signature")
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + call.body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signed.encode(), signature.encode()):
        raise SignatureInvalid("the signature is wrong")
    check_time(timestamp, desk.now)


def _event(item: Any) -> Event:
    """Raises Unreadable."""
    if not isinstance(item, dict) or not text_of(item.get("id")) or not isinstance(item.get("type"), str):
        raise Unreadable("an event without id or type")
    text = text_of(item.get("text"))
    return Event(
        id=str(item["id"]),
        kind=WORDS.get(item["type"], ReceiptEventType.UNKNOWN),
        word=item["type"],
        at=rfc3339(item.get("at")),
        message_id=provider_id(item.get("reference")),
        provider_message_id=provider_id(item.get("message_id")),
        address=text_of(item.get("to")),
        code=text_of(item.get("code")),
        text=None if text is None else one_line(text),
        words=text_of(item.get("words")),
    )
