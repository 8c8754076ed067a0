"""What Resend tells about an email, wrapped and signed as Svix does it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.providers.contract import Call, Target

_EVENTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "accepted": ("email.sent", {}),
    "delivered": ("email.delivered", {}),
    "deferred": ("email.delivery_delayed", {}),
    "bounced": (
        "email.bounced",
        {
            "bounce": {
                "type": "Permanent",
                "subType": "NoEmail",
                "message": "550 5.1.1 <{to}>: no such user",
                "diagnosticCode": ["smtp; 550 5.1.1 no such user"],
            }
        },
    ),
    "soft_bounced": (
        "email.bounced",
        {
            "bounce": {
                "type": "Transient",
                "subType": "MailboxFull",
                "message": "552 5.2.2 <{to}>: mailbox full",
                "diagnosticCode": ["smtp; 552 5.2.2 mailbox full"],
            }
        },
    ),
    "suppressed": (
        "email.suppressed",
        {"suppressed": {"type": "Suppressed", "reason": "previous_bounce", "message": "{to} bounced before"}},
    ),
    "failed": ("email.failed", {"failed": {"reason": "reached_daily_quota"}}),
    "complained": ("email.complained", {}),
    "opened": ("email.opened", {}),
    "clicked": (
        "email.clicked",
        {"click": {"ipAddress": "203.0.113.7", "link": "https://example.com/", "userAgent": "Mozilla/5.0"}},
    ),
}


def report(entry: Entry, happening: str, target: Target) -> Call | None:
    """The webhook call about an email, or None where Resend has no event for what happened."""
    known = _EVENTS.get(happening)
    if known is None:
        return None
    event, extra = known
    data = {
        "email_id": entry.provider_message_id,
        "created_at": _written(target.now),
        "from": entry.sender,
        "to": [entry.to[0]],
        "subject": entry.subject,
        "tags": {} if entry.message_id is None else {"hermod_message_id": entry.message_id},
        **{name: _addressed(part, entry.to[0]) for name, part in extra.items()},
    }
    body = orjson.dumps({"type": event, "created_at": _written(target.now), "data": data})
    own = hashlib.sha256(f"{entry.provider_message_id} {happening}".encode()).hexdigest()
    headers = _signed("msg_" + own[:27], target.now, body, target.credentials.get("webhook_secret", ""))
    return Call(
        "POST", target.url, {"Content-Type": "application/json", "User-Agent": "Svix-Webhooks/1", **headers}, body
    )


def _signed(identity: str, now: datetime, body: bytes, secret: str) -> dict[str, str]:
    """Svix's three headers. `secret` is the text after `whsec_`, in base64."""
    timestamp = str(int(now.timestamp()))
    mac = hmac.new(base64.b64decode(secret.split("_", 1)[-1]), digestmod=hashlib.sha256)
    for part in (identity.encode(), b".", timestamp.encode(), b".", body):
        mac.update(part)
    signature = "v1," + base64.b64encode(mac.digest()).decode()
    return {"svix-id": identity, "svix-timestamp": timestamp, "svix-signature": signature}


def _addressed(part: dict[str, Any], to: str) -> dict[str, Any]:
    return {name: value.replace("{to}", to) if isinstance(value, str) else value for name, value in part.items()}


def _written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
