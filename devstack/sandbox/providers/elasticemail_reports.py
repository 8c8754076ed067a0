"""What Elastic Email tells about an email: signed JSON where the account has a secret, else a query with its token."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from urllib.parse import urlencode, urlsplit

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.providers.contract import Call, Target

_STATUSES: Final[dict[str, dict[str, str]]] = {
    "delivered": {"status": "Sent"},
    "opened": {"status": "Opened"},
    "clicked": {"status": "Clicked", "target": "https://example.com/?a=1&b=2"},
    "unsubscribed": {"status": "Unsubscribed"},
    "complained": {"status": "AbuseReport"},
    "bounced": {"status": "Error", "category": "NoMailbox"},
    "soft_bounced": {"status": "Error", "category": "GreyListed"},
    "failed": {"status": "Error", "category": "Spam"},
}


def report(entry: Entry, happening: str, target: Target) -> Call | None:
    """The webhook call about an email, or None where Elastic Email has no status for what happened."""
    known = _STATUSES.get(happening)
    if known is None:
        return None
    fields = {
        **known,
        "to": entry.to[0],
        "from": entry.sender or "",
        "subject": entry.subject or "",
        "date": target.now.strftime("%Y-%m-%dT%H:%M:%S"),
        "transaction": entry.headers.get("TransactionID", ""),
        "messageid": entry.provider_message_id,
        "postback": entry.message_id or "",
    }
    secret, token = target.credentials.get("webhook_secret"), target.credentials.get("webhook_token")
    if secret:
        return _signed(target, orjson.dumps(fields), secret)
    joint = "&" if urlsplit(target.url).query else "?"
    return Call("GET", target.url + joint + urlencode({"token": token or "", **fields}), {}, b"")


def _signed(target: Target, body: bytes, secret: str) -> Call:
    timestamp = str(int(target.now.timestamp()))
    _, _, rest = target.url.partition("://")
    place = rest[rest.index("/") :]
    signed = b"\n".join((timestamp.encode(), b"POST", place.encode(), body))
    headers = {
        "Content-Type": "application/json",
        "X-ElasticEmail-Timestamp": timestamp,
        "X-ElasticEmail-Signature": "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest(),
        "X-ElasticEmail-Webhook-Id": "1",
    }
    return Call("POST", target.url, headers, body)
