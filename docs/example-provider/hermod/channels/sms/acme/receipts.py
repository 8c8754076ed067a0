"""Acme's reports: one JSON object a call, signed with `X-Acme-Signature: t=<unix seconds>,v1=<hex>`.

v1 is HMAC-SHA256 over `<t>.<body>` with the webhook secret.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import Final

import orjson

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

SIGNATURE: Final = "x-acme-signature"
TOLERANCE: Final = 300
"""Seconds that a report may be old, or its sender's clock be wrong."""
WORDS: Final = {
    "handed_over": ReceiptEventType.ACCEPTED,
    "delivered": ReceiptEventType.DELIVERED,
    "unreachable": ReceiptEventType.SOFT_BOUNCED,
    "no_such_number": ReceiptEventType.BOUNCED,
    "opted_out": ReceiptEventType.UNSUBSCRIBED,
}
_HEADER: Final = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})", re.ASCII)


class AcmeReceipts:
    async def read(self, call: Callback, account: Account, desk: ReceiptContext) -> ParsedReceipt:
        _check(call, account.credentials.get("webhook_secret"), desk.now)
        try:
            report = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            raise Unreadable("not JSON") from None
        if not isinstance(report, dict) or not isinstance(report.get("status"), str):
            raise Unreadable("no status")
        word = report["status"]
        return ParsedReceipt(
            events=(
                Event(
                    id=f"{report.get('id')}/{word}"[:200],
                    kind=WORDS.get(word, ReceiptEventType.UNKNOWN),
                    word=word[:100],
                    message_id=_text(report.get("reference")),
                    provider_message_id=_text(report.get("id")),
                    address=_text(report.get("to")),
                ),
            )
        )


def _check(call: Callback, secret: str | None, now: datetime) -> None:
    found = _HEADER.fullmatch(call.headers.get(SIGNATURE, ""))
    if not secret or found is None:
        raise SignatureInvalid("no signature, or no webhook_secret to check it with")
    wanted = hmac.new(secret.encode(), f"{found[1]}.".encode() + call.body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted, found[2]):
        raise SignatureInvalid("the signature is wrong")
    if abs((now - datetime.fromtimestamp(int(found[1]), UTC)).total_seconds()) > TOLERANCE:
        raise SignatureInvalid("signed at another time")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
