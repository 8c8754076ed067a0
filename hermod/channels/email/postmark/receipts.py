"""Postmark's webhooks.

    POST, one event: {"RecordType": "Bounce", "MessageID", "Metadata": {…}, "Email" or "Recipient", …}

They are not signed. Postmark logs in instead, with what the webhook was set up with: a user name and a password
(Basic), a header of one's own (`X-Hermod-Secret`), or both. What the account names has to come; an account that names
nothing takes no call. Only bounces and complaints have an id: the others are known by what they say.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from hermod.channels.calls import id_of, rfc3339
from hermod.channels.email.postmark.codes import BOUNCES, RECORDS, SUPPRESSIONS
from hermod.channels.email.postmark.mail import MESSAGE_ID_METADATA
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

SECRET_HEADER: Final = "x-hermod-secret"
_TIMES: Final = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")


class PostmarkReceipts:
    """Implements `hermod.ports.notifications.receipts.ReceiptReader`."""

    async def read(self, call: Callback, account: Account, desk: ReceiptContext) -> ParsedReceipt:
        _check_login(call.headers, account.credentials)
        try:
            event: Any = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            raise Unreadable("not JSON") from None
        record = text_of(event.get("RecordType")) if isinstance(event, dict) else None
        if record is None:
            raise Unreadable("no event of Postmark")
        return ParsedReceipt(events=(_event(record, event),))


def _check_login(headers: Mapping[str, str], credentials: Mapping[str, str]) -> None:
    expected = dict(_expected(credentials))
    if not expected:
        raise SignatureInvalid("the account names no webhook_password and no webhook_secret")
    for name, value in expected.items():
        if not hmac.compare_digest(headers.get(name, "").encode("utf-8", "surrogateescape"), value.encode()):
            raise SignatureInvalid(f"the header {name} is missing or wrong")


def _expected(credentials: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    username, password = credentials.get("webhook_username"), credentials.get("webhook_password")
    if username and password:
        yield "authorization", "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
    if credentials.get("webhook_secret"):
        yield SECRET_HEADER, credentials["webhook_secret"]


def _event(record: str, event: dict[str, Any]) -> Event:
    word, kind = _reading(record, event)
    # Bounces call the address Email, the others Recipient.
    address = text_of(event.get("Email")) or text_of(event.get("Recipient"))
    moment = next((text for name in _TIMES if (text := text_of(event.get(name)))), None)
    text = text_of(event.get("Details")) or text_of(event.get("Description"))
    metadata = event.get("Metadata")
    return Event(
        id=_identity(record, event, word, address, moment),
        kind=kind,
        word=word,
        at=rfc3339(moment),
        message_id=provider_id(metadata.get(MESSAGE_ID_METADATA)) if isinstance(metadata, dict) else None,
        provider_message_id=provider_id(event.get("MessageID")),
        address=address,
        code=text_of(event.get("TypeCode")),
        text=one_line(text) if text else None,
    )


def _identity(record: str, event: dict[str, Any], *details: str | None) -> str:
    number = text_of(event.get("ID"))
    if number is not None and len(number) <= 40:
        return f"{record[:40]}/{number}"
    return id_of(*details, event.get("MessageID"), event.get("OriginalLink"))


def _reading(record: str, event: dict[str, Any]) -> tuple[str, ReceiptEventType]:
    """The whole word, `Bounce/HardBounce`, and what it means."""
    if record == "Bounce":
        type_ = text_of(event.get("Type")) or ""
        return f"{record}/{type_}"[:200], BOUNCES.get(type_, ReceiptEventType.UNKNOWN)
    if record != "SubscriptionChange":
        return record[:200], RECORDS.get(record, ReceiptEventType.UNKNOWN)
    if event.get("SuppressSending") is False:
        return f"{record}/Reactivated", ReceiptEventType.RESUBSCRIBED
    reason = text_of(event.get("SuppressionReason")) or ""
    return f"{record}/{reason}"[:200], SUPPRESSIONS.get(reason, ReceiptEventType.UNKNOWN)
