"""What SendGrid's Event Webhook tells about a mail, signed with a key of the sandbox's own.

The key is for development only and secret to nobody: its public half stands in the example account, and an account that
is to believe the sandbox has to carry it as `webhook_public_key`.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from devstack.sandbox.entry import Entry
from devstack.sandbox.providers.contract import Call, Target

_PRIVATE_KEY: Final = ec.derive_private_key(
    0xBFE50A3D55B3FE042CF163824A12CDBC9B2CE9EA87577F7FCFB9E374DA2426FB, ec.SECP256R1()
)
_EVENTS: Final[dict[str, dict[str, Any]]] = {
    "accepted": {"event": "processed"},
    "deferred": {"event": "deferred", "response": "451 4.3.0 {to} try again later", "attempt": "5"},
    "delivered": {"event": "delivered", "response": "250 OK", "ip": "203.0.113.7", "tls": 1},
    "bounced": {
        "event": "bounce",
        "type": "bounce",
        "reason": "550 5.1.1 <{to}>: no such user",
        "status": "5.1.1",
        "bounce_classification": "Invalid Address",
    },
    "soft_bounced": {"event": "bounce", "type": "blocked", "reason": "552 5.2.2 mailbox full", "status": "5.2.2"},
    "suppressed": {"event": "dropped", "reason": "Bounced Address", "status": "5.0.0"},
    "failed": {"event": "dropped", "reason": "Spam Content", "status": "5.0.0"},
    "opened": {"event": "open", "useragent": "Mozilla/5.0", "ip": "203.0.113.7", "sg_machine_open": False},
    "clicked": {"event": "click", "url": "https://example.com/", "url_offset": {"index": 0, "type": "html"}},
    "complained": {"event": "spamreport"},
    "unsubscribed": {"event": "unsubscribe"},
    "resubscribed": {"event": "group_resubscribe", "asm_group_id": 1},
}


def report(entry: Entry, happening: str, target: Target) -> Call | None:
    """The webhook call about a mail, or None where SendGrid has no event for what happened."""
    known = _EVENTS.get(happening)
    if known is None:
        return None
    own = hashlib.sha256(f"{entry.provider_message_id} {entry.to[0]} {happening}".encode()).digest()
    event = {
        name: value.replace("{to}", entry.to[0]) if isinstance(value, str) else value for name, value in known.items()
    } | {
        "email": entry.to[0],
        "timestamp": int(target.now.timestamp()),
        "sg_event_id": base64.urlsafe_b64encode(own).decode().rstrip("="),
        "sg_message_id": f"{entry.provider_message_id}.recvd-5f54f5d587-6xhfs-1-64E5A3C7-1.0",
        "smtp-id": f"<{entry.provider_message_id}@geopod-ismtpd-1>",
    }
    if entry.message_id is not None:
        event["hermod_message_id"] = entry.message_id
    return _signed(target, orjson.dumps([event], option=orjson.OPT_SORT_KEYS) + b"\r\n")


def _signed(target: Target, body: bytes) -> Call:
    """The line break at the end of the body is signed, too."""
    timestamp = str(int(target.now.timestamp()))
    signature = _PRIVATE_KEY.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "SendGrid Event API",
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
    }
    return Call("POST", target.url, headers, body)
