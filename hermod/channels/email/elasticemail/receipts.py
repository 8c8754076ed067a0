"""Elastic Email's webhooks: one event a call, as JSON or a form in a POST, or as the query of a GET.

    status=Error&category=NoMailbox&to=…&date=…&transaction=…&messageid=…&postback=msg_…
    X-ElasticEmail-Timestamp: unix seconds        X-ElasticEmail-Signature: v1=<hex>

The signature is HMAC-SHA256 over `{timestamp}\\n{METHOD}\\n{path and query}\\n{body}`. Signing is an option that is
chosen when a webhook is made; for one without it, the vendor's advice is a token of one's own in the URL (`?token=…`).
The token counts only where the account has no signing secret.

When a webhook is saved, Elastic Email calls it with an event about nobody's message, which must be answered 200,
before anybody knows the signing secret. That one call, known by its fixed values, holds nothing and is answered
without a check (`is_test`), at every address alike.
"""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from hermod.channels.calls import check_time, id_of, only_header, rfc3339
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

TOKEN: Final = "token"
_VERSION: Final = "v1="
LONGEST_TEST: Final = 4096
"""Bytes that the test call has at the most; so much of a call is looked at before anybody knows who makes it."""
_TEST_EVENT: Final = {"messageid": "abc1234", "to": "test@test.com"}

WORDS: Final[dict[str, ReceiptEventType]] = {
    "sent": ReceiptEventType.DELIVERED,  # the recipient's server took it
    "opened": ReceiptEventType.OPENED,
    "clicked": ReceiptEventType.CLICKED,
    "unsubscribed": ReceiptEventType.UNSUBSCRIBED,
    "abusereport": ReceiptEventType.COMPLAINED,
    "error": ReceiptEventType.FAILED,
}
"""Elastic Email's statuses, in lower case: the vendor itself writes `Opened` and `opened`."""

CATEGORIES: Final[dict[str, ReceiptEventType]] = {
    "NoMailbox": ReceiptEventType.BOUNCED,
    "DNSProblem": ReceiptEventType.SOFT_BOUNCED,  # may be a name server that is away
    "GreyListed": ReceiptEventType.SOFT_BOUNCED,
    "Throttled": ReceiptEventType.SOFT_BOUNCED,
    "Timeout": ReceiptEventType.SOFT_BOUNCED,
    "ConnectionProblem": ReceiptEventType.SOFT_BOUNCED,
    "ConnectionTerminated": ReceiptEventType.SOFT_BOUNCED,
    "Spam": ReceiptEventType.FAILED,
    "BlackListed": ReceiptEventType.FAILED,
    "SPFProblem": ReceiptEventType.FAILED,
    "ContentFilter": ReceiptEventType.FAILED,
    "NotDelivered": ReceiptEventType.FAILED,
    "ManualCancel": ReceiptEventType.FAILED,
    "AccountProblem": ReceiptEventType.FAILED,
    "CodeError": ReceiptEventType.FAILED,
    "Ignore": ReceiptEventType.FAILED,
    "Unknown": ReceiptEventType.FAILED,
}
"""What an error's category says. Only the first is about the address; one that is not listed is held against nobody."""


class ElasticEmailReceipts:
    """Implements `hermod.ports.notifications.receipts.ReceiptReader`."""

    async def read(self, call: Callback, account: Account, desk: ReceiptContext) -> ParsedReceipt:
        secret, token = account.credentials.get("webhook_secret"), account.credentials.get("webhook_token")
        if secret:
            _check_signature(call, secret, desk)
        elif token:
            _check_token(call, token)
        else:
            raise SignatureInvalid("the account has neither webhook_secret nor webhook_token")
        fields = _fields(call)
        return ParsedReceipt(events=(_event(fields),) if fields.get("status") else ())


def _check_signature(call: Callback, secret: str, desk: ReceiptContext) -> None:
    timestamp = only_header(call, "x-elasticemail-timestamp")
    signature = only_header(call, "x-elasticemail-signature")
    check_time(timestamp, desk.now)
    parts = urlsplit(call.url)
    place = f"{parts.path}?{parts.query}" if parts.query else parts.path
    content = f"{timestamp}\n{call.method}\n{place}\n".encode("utf-8", "surrogateescape") + call.body
    expected = _VERSION + hmac.digest(secret.encode(), content, "sha256").hex()
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogateescape")):
        raise SignatureInvalid("the signature does not fit")


def _check_token(call: Callback, token: str) -> None:
    given = call.query().get(TOKEN, "")
    if not hmac.compare_digest(token.encode(), given.encode("utf-8", "surrogateescape")):
        raise SignatureInvalid("the token in the URL does not fit")


def is_test(call: Callback) -> bool:
    """Whether it is the call by which Elastic Email tries an address out."""
    if len(call.body) > LONGEST_TEST:
        return False
    try:
        fields = _fields(call)
    except Unreadable:
        return False
    return all(fields.get(name) == value for name, value in _TEST_EVENT.items())


def _fields(call: Callback) -> dict[str, str]:
    """The event's fields by lower-case name, wherever they stand. Raises Unreadable."""
    fields = call.query()
    if "json" in call.headers.get("content-type", "").lower():
        try:
            body = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            raise Unreadable("the body is not JSON") from None
        if not isinstance(body, dict):
            raise Unreadable("the body is not an event of Elastic Email's")
        fields |= {name: text for name, value in body.items() if (text := text_of(value)) is not None}
    else:
        fields |= dict(parse_qsl(call.body.decode("utf-8", "replace")))
    return {name.lower(): value for name, value in fields.items()}


def _event(fields: dict[str, str]) -> Event:
    status, category = fields["status"], fields.get("category")
    kind = WORDS.get(status.lower(), ReceiptEventType.UNKNOWN)
    failed = status.lower() == "error" and category is not None
    if failed:
        kind = CATEGORIES.get(category or "", kind)
    said = [fields.get(name) for name in ("messageid", "status", "category", "to", "target", "date")]
    return Event(
        id=id_of(*said),
        kind=kind,
        word=one_line(f"{status}/{category}" if failed else status),
        at=rfc3339(fields.get("date")),
        message_id=provider_id(fields.get("postback")),
        provider_message_id=provider_id(fields.get("messageid")),
        address=split_address(fields.get("to", ""))[1] or None,
        code=one_line(category) if failed and category else None,
    )
