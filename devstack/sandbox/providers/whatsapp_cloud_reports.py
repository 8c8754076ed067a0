"""What Meta tells about a message: the webhook's body, and the signature over it with the app's secret."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.providers.contract import Call, Target

_STATUSES: Final[dict[str, tuple[str, int | None]]] = {
    "accepted": ("sent", None),
    "delivered": ("delivered", None),
    "read": ("read", None),
    "soft_bounced": ("failed", 131026),
    "failed": ("failed", 131047),
}
_TITLES: Final = {131026: "Message undeliverable", 131047: "Re-engagement message"}
_PREFERENCES: Final = {
    "unsubscribed": ("stop", "User requested to stop marketing messages"),
    "resubscribed": ("resume", "User requested to resume marketing messages"),
}


def report(entry: Entry, happening: str, target: Target) -> Call | None:
    """None where Meta has no word for what happened, or the account no secret to sign with."""
    secret = target.credentials.get("app_secret")
    number, seconds = entry.to[0].removeprefix("+"), int(target.now.timestamp())
    if happening == "inbound":
        change = _change("messages", messages=[_stop(entry, number, seconds)])
    elif happening in _PREFERENCES:
        change = _change("user_preferences", user_preferences=[_preference(happening, number, seconds)])
    elif happening in _STATUSES:
        change = _change("messages", statuses=[_status(entry, happening, number, seconds)])
    else:
        return None
    if not secret:
        return None
    change["value"]["metadata"]["phone_number_id"] = entry.sender or ""
    body = orjson.dumps(
        {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [change]}]}
    )
    signature = hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
    return Call("POST", target.url, headers, body)


def _change(field: str, **content: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": "15550783881"}
    return {"field": field, "value": {"messaging_product": "whatsapp", "metadata": metadata, **content}}


def _status(entry: Entry, happening: str, number: str, seconds: int) -> dict[str, Any]:
    word, code = _STATUSES[happening]
    status: dict[str, Any] = {
        "id": entry.provider_message_id,
        "status": word,
        "timestamp": str(seconds),
        "recipient_id": number,
    }
    if entry.message_id:
        status["biz_opaque_callback_data"] = entry.message_id
    if code is not None:
        title = _TITLES[code]
        status["errors"] = [{"code": code, "title": title, "message": title, "error_data": {"details": title}}]
    return status


def _stop(entry: Entry, number: str, seconds: int) -> dict[str, Any]:
    digest = hashlib.sha256(entry.provider_message_id.encode()).hexdigest()[:32].upper()
    text = {"type": "text", "text": {"body": "STOP"}}
    return {"from": number, "id": f"wamid.{digest}", "timestamp": str(seconds), **text}


def _preference(happening: str, number: str, seconds: int) -> dict[str, Any]:
    value, detail = _PREFERENCES[happening]
    said = {"detail": detail, "category": "marketing_messages", "value": value}
    return {"wa_id": number, "timestamp": seconds, **said}
