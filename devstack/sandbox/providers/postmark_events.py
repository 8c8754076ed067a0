"""The webhooks of Postmark, one event each. Shapes from postmarkapp.com/developer/webhooks."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final

from devstack.sandbox.entry import Entry

SERVER: Final = 23
_BOUNCES: Final = {
    "bounced": ("HardBounce", 1, "Hard bounce", "smtp;550 5.1.1 The email account {to} does not exist.", True),
    "soft_bounced": ("SoftBounce", 4096, "Soft bounce", "smtp;552 5.2.2 Mailbox of {to} is full.", False),
    "deferred": ("Transient", 2, "Message delayed", "smtp;451 4.7.1 Greylisted, try again later.", False),
    "suppressed": ("ManuallyDeactivated", 100002, "Manually deactivated", "Deactivated by hand.", True),
    "failed": ("DMARCPolicy", 100009, "DMARC Policy", "smtp;550 5.7.1 Rejected by the DMARC policy.", False),
}
_READERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "opened": ("Open", {"FirstOpen": True, "UserAgent": "Mozilla/5.0", "Platform": "Desktop", "ReadSeconds": 5}),
    "clicked": ("Click", {"OriginalLink": "https://example.com/", "ClickLocation": "HTML", "UserAgent": "Mozilla/5.0"}),
}


def event_of(entry: Entry, happening: str, now: datetime) -> dict[str, Any] | None:
    """The event that Postmark would report, or None where it has none for this."""
    at, to = now.strftime("%Y-%m-%dT%H:%M:%S.%f0Z"), entry.to[0]
    event: dict[str, Any] = {
        "MessageID": entry.provider_message_id,
        "MessageStream": "outbound",
        "ServerID": SERVER,
        "Tag": "",
        "Metadata": {"hermod_message_id": entry.message_id} if entry.message_id else {},
    }
    if happening == "delivered":
        return event | {"RecordType": "Delivery", "Recipient": to, "DeliveredAt": at, "Details": "250 2.0.0 OK"}
    if happening in _BOUNCES:
        type_, code, name, details, inactive = _BOUNCES[happening]
        report = {"RecordType": "Bounce", "Type": type_, "TypeCode": code, "Name": name}
        return event | report | _bounce(entry, at, details.format(to=to), inactive=inactive)
    if happening == "complained":
        report = {"RecordType": "SpamComplaint", "Type": "SpamComplaint", "TypeCode": 100001, "Name": "Spam complaint"}
        return event | report | _bounce(entry, at, "", inactive=True)
    if happening in _READERS:
        record, more = _READERS[happening]
        return event | {"RecordType": record, "Recipient": to, "ReceivedAt": at} | more
    if happening in ("unsubscribed", "resubscribed"):
        stopped = happening == "unsubscribed"
        reason = "ManualSuppression" if stopped else None
        change = {"Recipient": to, "ChangedAt": at, "Origin": "Recipient", "SuppressSending": stopped}
        return event | {"RecordType": "SubscriptionChange", "SuppressionReason": reason} | change
    return None


def _bounce(entry: Entry, at: str, details: str, *, inactive: bool) -> dict[str, Any]:
    number = hashlib.sha256(f"{entry.provider_message_id} {details} {at}".encode()).digest()
    return {
        "ID": int.from_bytes(number[:6], "big"),
        "Email": entry.to[0],
        "From": entry.sender,
        "BouncedAt": at,
        "Description": "What the receiving server said is in the details.",
        "Details": details,
        "Inactive": inactive,
        "CanActivate": inactive,
        "DumpAvailable": False,
        "Subject": entry.subject,
    }
