"""SendGrid's Event Webhook.

    POST, an array of events: [{"event": "delivered", "email", "timestamp", "sg_event_id", "sg_message_id", …}, …]
    X-Twilio-Email-Event-Webhook-Timestamp: unix seconds
    X-Twilio-Email-Event-Webhook-Signature: base64 of an ECDSA signature (DER, P-256, SHA-256) over timestamp and body

Our message id is a custom argument, and those stand at the top level of each event. SendGrid calls again for a day
until it gets a 2xx, and does not say whether a repeat is signed anew: so a signed time may be a day old. A replayed
call brings the same events with the same ids, which changes nothing.
"""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hermod.channels.calls import check_time, id_of, only_header, unix_time
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

MESSAGE_ID_ARGUMENT: Final = "hermod_message_id"
OLDEST: Final = timedelta(hours=25)
"""SendGrid calls again for 24 hours."""
_LONGEST_ID: Final = 200

WORDS: Final[dict[str, ReceiptEventType]] = {
    "processed": ReceiptEventType.ACCEPTED,
    "deferred": ReceiptEventType.DEFERRED,
    "delivered": ReceiptEventType.DELIVERED,
    "bounce": ReceiptEventType.SOFT_BOUNCED,  # without a type that we know, it is held against nobody
    "bounce/bounce": ReceiptEventType.BOUNCED,
    "bounce/blocked": ReceiptEventType.SOFT_BOUNCED,
    "dropped": ReceiptEventType.FAILED,
    "open": ReceiptEventType.OPENED,
    "click": ReceiptEventType.CLICKED,
    "spamreport": ReceiptEventType.COMPLAINED,
    "unsubscribe": ReceiptEventType.UNSUBSCRIBED,
    "group_unsubscribe": ReceiptEventType.UNSUBSCRIBED,
    "group_resubscribe": ReceiptEventType.RESUBSCRIBED,
}
"""SendGrid's events, a bounce with its type behind a slash. The longer word counts where it is listed."""

DROPPED: Final[dict[str, ReceiptEventType]] = {
    "Bounced Address": ReceiptEventType.SUPPRESSED,
    "Unsubscribed Address": ReceiptEventType.SUPPRESSED,
    "Spam Reporting Address": ReceiptEventType.SUPPRESSED,
    "Invalid": ReceiptEventType.SUPPRESSED,
    "Spam Content": ReceiptEventType.FAILED,
    "Recipient List over Package Quota": ReceiptEventType.FAILED,
    "Invalid SMTPAPI header": ReceiptEventType.FAILED,
}
"""Why SendGrid dropped a mail before sending it: for the first four, the address is on one of its lists."""


class SendGridReceipts:
    """Implements `hermod.ports.notifications.receipts.ReceiptReader`."""

    async def read(self, call: Callback, account: Account, desk: ReceiptContext) -> ParsedReceipt:
        _check(call, account.credentials.get("webhook_public_key"), desk)
        try:
            body = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            raise Unreadable("the body is not JSON") from None
        if not isinstance(body, list) or not all(isinstance(item, dict) for item in body):
            raise Unreadable("the body is not an array of events")
        return ParsedReceipt(events=tuple(_event(item) for item in body))


@lru_cache(maxsize=256)
def verification_key(text: str) -> EllipticCurvePublicKey | None:
    """The P-256 key behind SendGrid's base64 (SubjectPublicKeyInfo in DER), or None where it is none."""
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1) else None


def _check(call: Callback, text: str | None, desk: ReceiptContext) -> None:
    """Raise SignatureInvalid for a call that is not signed by SendGrid for this account."""
    key = verification_key(text) if text else None
    if key is None:
        raise SignatureInvalid("the account has no usable webhook_public_key")
    timestamp = only_header(call, "x-twilio-email-event-webhook-timestamp")
    signature = only_header(call, "x-twilio-email-event-webhook-signature")
    check_time(timestamp, desk.now, oldest=OLDEST)
    try:
        key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + call.body, ECDSA(SHA256()))
    except (binascii.Error, ValueError, InvalidSignature):
        raise SignatureInvalid("the signature does not fit") from None


def _event(item: dict[str, Any]) -> Event:
    name, reason = text_of(item.get("event")) or "?", text_of(item.get("reason")) or text_of(item.get("response"))
    word, kind = name, WORDS.get(name, ReceiptEventType.UNKNOWN)
    if name == "bounce" and (bounce := text_of(item.get("type"))):
        word = f"bounce/{bounce}"
        kind = WORDS.get(word, kind)
    elif name == "dropped" and reason in DROPPED:
        word, kind = f"dropped/{reason}", DROPPED[reason]
    sent_as, code = text_of(item.get("sg_message_id")), text_of(item.get("status"))
    return Event(
        id=_identity(item, word),
        kind=kind,
        word=one_line(word),
        at=unix_time(item.get("timestamp")),
        message_id=provider_id(item.get(MESSAGE_ID_ARGUMENT)),
        # The id of the answer to the send (`X-Message-Id`), then a dot and the machines that the mail went through.
        provider_message_id=provider_id(sent_as.partition(".")[0]) if sent_as else None,
        address=text_of(item.get("email")),
        code=one_line(code) if code else None,
        text=one_line(reason) if reason else None,
    )


def _identity(item: dict[str, Any], word: str) -> str:
    own = provider_id(item.get("sg_event_id"))
    if own is not None and len(own) <= _LONGEST_ID:
        return own
    return id_of(item.get("sg_message_id"), item.get("email"), word, item.get("timestamp"))
