"""Mailgun's webhooks.

    POST, one event: {"signature": {"timestamp", "token", "signature"}, "event-data": {"event", "recipient", …}}

The signature is HMAC-SHA256 over timestamp and token, and says nothing about the event beside it: who has seen one call
can put another event in its place. So the token is what an event is known by: a second event under it is a repeat of
the first, and the first has been stored. The token is also the same when Mailgun calls again.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from typing import Any, Final

import orjson

from hermod.channels.calls import check_time, unix_time
from hermod.channels.email.mailgun.sender import MESSAGE_ID_VARIABLE
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

OLDEST: Final = timedelta(hours=9)
"""Mailgun re-sends with the first signature, for a good eight hours."""

WORDS: Final[dict[str, ReceiptEventType]] = {
    "accepted": ReceiptEventType.ACCEPTED,
    "delivered": ReceiptEventType.DELIVERED,
    "opened": ReceiptEventType.OPENED,
    "clicked": ReceiptEventType.CLICKED,
    "unsubscribed": ReceiptEventType.UNSUBSCRIBED,
    "complained": ReceiptEventType.COMPLAINED,
    "rejected": ReceiptEventType.FAILED,
    "failed/temporary": ReceiptEventType.DEFERRED,
    "failed/permanent": ReceiptEventType.FAILED,
    "failed/permanent/bounce": ReceiptEventType.BOUNCED,
    "failed/permanent/suppress-bounce": ReceiptEventType.SUPPRESSED,
    "failed/permanent/suppress-complaint": ReceiptEventType.SUPPRESSED,
    "failed/permanent/suppress-unsubscribe": ReceiptEventType.SUPPRESSED,
    "failed/permanent/old": ReceiptEventType.SOFT_BOUNCED,  # gave up after having tried long enough
    "failed/permanent/generic": ReceiptEventType.SOFT_BOUNCED,
}
"""By event, for a failure also by severity and reason: the longest word that is listed counts."""


class MailgunReceipts:
    """Implements `hermod.ports.notifications.receipts.ReceiptReader`."""

    async def read(self, call: Callback, account: Account, desk: ReceiptContext) -> ParsedReceipt:
        try:
            body: Any = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            raise SignatureInvalid("not JSON") from None
        body = _object(body)
        token = _checked_token(_object(body.get("signature")), account, desk)
        data = _object(body.get("event-data"))
        if text_of(data.get("event")) is None:
            raise Unreadable("no event of Mailgun")
        return ParsedReceipt(events=(_event(data, token),))


def _checked_token(signature: dict[str, Any], account: Account, desk: ReceiptContext) -> str:
    """The token of a call that Mailgun has signed. Raises SignatureInvalid."""
    key = account.credentials.get("webhook_signing_key")
    if not key:
        raise SignatureInvalid("the account names no webhook_signing_key")
    timestamp, token, given = (signature.get(name) for name in ("timestamp", "token", "signature"))
    if not (isinstance(timestamp, str) and isinstance(token, str) and isinstance(given, str) and token):
        raise SignatureInvalid("there is no signature")
    expected = hmac.new(key.encode(), f"{timestamp}{token}".encode(), hashlib.sha256)
    if not hmac.compare_digest(expected.hexdigest().encode(), given.encode()):
        raise SignatureInvalid("the signature is wrong")
    check_time(timestamp, desk.now, oldest=OLDEST)
    return token


def _event(data: dict[str, Any], token: str) -> Event:
    word, kind = _reading(data)
    status = _object(data.get("delivery-status"))
    text = text_of(status.get("message")) or text_of(status.get("description"))
    text = text or text_of(_object(data.get("reject")).get("reason"))
    headers = _object(_object(data.get("message")).get("headers"))
    message_id = provider_id(headers.get("message-id"))
    return Event(
        id=token if len(token) <= 100 else hashlib.sha256(token.encode()).hexdigest(),
        kind=kind,
        word=word,
        at=unix_time(data.get("timestamp")),
        message_id=provider_id(_object(data.get("user-variables")).get(MESSAGE_ID_VARIABLE)),
        provider_message_id=message_id.removeprefix("<").removesuffix(">") if message_id else None,
        address=text_of(data.get("recipient")),
        code=text_of(status.get("code")),
        text=one_line(text) if text else None,
    )


def _reading(data: dict[str, Any]) -> tuple[str, ReceiptEventType]:
    """The whole word, `failed/permanent/bounce`, and what it means."""
    parts = (data.get("event"), data.get("severity"), data.get("reason"))
    words = [text for part in (parts if data.get("event") == "failed" else parts[:1]) if (text := text_of(part))]
    listed = (WORDS.get("/".join(words[:length])) for length in range(len(words), 0, -1))
    return "/".join(words)[:200], next((kind for kind in listed if kind is not None), ReceiptEventType.UNKNOWN)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
