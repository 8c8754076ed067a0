"""The message as FCM takes it: common words, and what each platform behind FCM needs besides.

{"message": {"token": "…", "notification": {"title", "body", "image"}, "data": {"k": "strings only"},
             "android": {…}, "apns": {"headers": {…}, "payload": {"aps": {…}}}, "webpush": {"headers": {…}, …}}}
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from hermod.contracts.notifications.content import Push
from hermod.contracts.notifications.messages import Category

MESSAGE_ID: Final = "hermod_message_id"
"""The key of `data` under which the app finds our id."""
LONGEST_PAYLOAD: Final = 4096
"""Bytes of words and data together, keys included."""
LONGEST_COLLAPSE_ID: Final = 64
"""Bytes; the limit is Apple's."""

_LENGTH_OF_ID: Final = 32
_RESERVED: Final = frozenset({"from", "message_type", MESSAGE_ID})
_RESERVED_BEGINNINGS: Final = ("google.", "gcm.")
_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


def message_body(push: Push, *, target: str, id: str, category: Category, now: datetime) -> bytes:
    """The request's body. `target` is the name of the field that the token stands in."""
    words = {"title": push.title, "body": push.body, "image": push.image}
    message: dict[str, Any] = {target: push.to, "data": _data(push, id)}
    if is_shown(push):
        message["notification"] = {name: value for name, value in words.items() if value}
    message["android"] = _android(push, category)
    message["apns"] = _apns(push, category, now)
    message["webpush"] = _webpush(push, category)
    return orjson.dumps({"message": {name: value for name, value in message.items() if value}})


def is_shown(push: Push) -> bool:
    """Whether the device shows something; else the app is woken to take the data."""
    return bool(push.title or push.body)


def misfit(push: Push) -> str | None:
    """What FCM would not take of the content, or None."""
    for name in push.data:
        if name in _RESERVED or name.startswith(_RESERVED_BEGINNINGS):
            return f"data.{name} is reserved"
    if push.url is not None and push.data.get("url", push.url) != push.url:
        return "the url travels in data.url, where the message has another one"
    if push.collapse_key is not None and len(push.collapse_key.encode()) > LONGEST_COLLAPSE_ID:
        return f"the collapse_key is longer than {LONGEST_COLLAPSE_ID} bytes"
    words = [text for text in (push.title, push.body, push.image) if text]
    items = [text for item in _data(push, "x" * _LENGTH_OF_ID).items() for text in item]
    size = sum(len(text.encode()) for text in [*words, *items])
    if size > LONGEST_PAYLOAD:
        return f"words and data have {size} bytes, and FCM takes {LONGEST_PAYLOAD}"
    return None


def _data(push: Push, id: str) -> dict[str, str]:
    data = {name: _text(value) for name, value in push.data.items()}
    if push.url is not None:
        data["url"] = push.url
    return {**data, MESSAGE_ID: id}


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _android(push: Push, category: Category) -> dict[str, Any]:
    fields = {
        "priority": "high" if category is Category.TRANSACTIONAL else "normal",
        "ttl": None if push.ttl_seconds is None else f"{push.ttl_seconds}s",
        "collapse_key": push.collapse_key,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _apns(push: Push, category: Category, now: datetime) -> dict[str, Any]:
    shown = is_shown(push)
    urgent = shown and category is Category.TRANSACTIONAL
    headers = {"apns-push-type": "alert" if shown else "background", "apns-priority": "10" if urgent else "5"}
    if push.ttl_seconds is not None:
        until = now + timedelta(seconds=push.ttl_seconds)
        headers["apns-expiration"] = str(int(until.timestamp())) if push.ttl_seconds else "0"
    if push.collapse_key:
        headers["apns-collapse-id"] = push.collapse_key
    apns: dict[str, Any] = {
        "headers": headers,
        "payload": {"aps": {"sound": "default"} if shown else {"content-available": 1}},
    }
    if shown and push.image is not None:
        apns["payload"]["aps"]["mutable-content"] = 1
        apns["fcm_options"] = {"image": push.image}
    return apns


def _webpush(push: Push, category: Category) -> dict[str, Any]:
    headers = {"Urgency": "high" if category is Category.TRANSACTIONAL else "normal"}
    if push.ttl_seconds is not None:
        headers["TTL"] = str(push.ttl_seconds)
    if push.collapse_key:
        headers["Topic"] = _topic(push.collapse_key)
    # FCM takes links over https only; with others, the page finds the address in the data.
    link = push.url if push.url is not None and push.url.startswith("https://") else None
    return {"headers": headers, "fcm_options": {"link": link}} if link is not None else {"headers": headers}


def _topic(collapse_key: str) -> str:
    """A Web Push topic: up to 32 characters of base64url, so other keys are hashed."""
    if _TOPIC.fullmatch(collapse_key):
        return collapse_key
    return base64.urlsafe_b64encode(hashlib.sha256(collapse_key.encode()).digest()[:24]).decode()
