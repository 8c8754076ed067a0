"""How the sandbox reports: one JSON shape for every channel, signed with the account's `webhook_secret`."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.providers.contract import Call, Target

_TYPES: Final = {
    "accepted": "message.sent",
    "delivered": "message.delivered",
    "read": "message.read",
    "opened": "message.opened",
    "clicked": "message.clicked",
    "deferred": "message.delayed",
    "bounced": "message.bounced",
    "soft_bounced": "message.blocked",
    "failed": "message.failed",
    "suppressed": "message.dropped",
    "complained": "message.complained",
    "unsubscribed": "recipient.unsubscribed",
    "resubscribed": "recipient.resubscribed",
    "unregistered": "recipient.gone",
    "inbound": "message.received",
    "unknown": "message.sneezed_at",
}
_FAULTS: Final = {
    "bounced": ("no_such_mailbox", "There is no mailbox {to}."),
    "soft_bounced": ("mailbox_full", "The mailbox of {to} is full."),
    "failed": ("content_refused", "The content was refused."),
    "suppressed": ("on_our_list", "{to} bounced before."),
}


def report(entry: Entry, happening: str, target: Target) -> Call | None:
    """Each call is a new event; whoever wants the same one again makes the same call again."""
    kind = _TYPES.get(happening)
    if kind is None:
        return None
    code, text = _FAULTS.get(happening, (None, None))
    event: dict[str, Any] = {
        "id": f"evt_{entry.provider_message_id}_{happening}_{int(target.now.timestamp() * 1000)}",
        "type": kind,
        "at": target.now.isoformat(),
        "to": entry.to[0],
        "code": code,
        "text": text and text.format(to=entry.to[0]),
    }
    if happening == "inbound":
        event["words"] = target.words
    else:
        event |= {"message_id": entry.provider_message_id, "reference": entry.message_id}
    return Call("POST", target.url, *_signed(target, orjson.dumps({"events": [event]})))


def _signed(target: Target, body: bytes) -> tuple[dict[str, str], bytes]:
    timestamp = str(int(target.now.timestamp()))
    headers = {"Content-Type": "application/json", "Sandbox-Timestamp": timestamp}
    secret = target.credentials.get("webhook_secret")
    if secret:
        digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
        headers["Sandbox-Signature"] = digest.hexdigest()
    return headers, body
