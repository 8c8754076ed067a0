"""A push service, and the browser behind it: POST /webpush/push/{device}, as a subscription's endpoint says.

`GET /webpush/subscriptions/{device}` gives the subscription object of a device, to be used as `to`; any name is one.
With `/{key}` at its end, an endpoint belongs to that public key, as where a page subscribed with it.
"""

from __future__ import annotations

import math
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission
from devstack.sandbox.providers.webpush_checks import (
    DEVICE_AUTH,
    DEVICE_PUBLIC,
    Refusal,
    check_headers,
    check_vapid,
    opened,
)

_ENDPOINT: Final = re.compile(r"^/push/(?P<device>[^/]+)(?:/(?P<key>[\w-]+))?$", re.ASCII)
_SUBSCRIPTION: Final = re.compile(r"^/subscriptions/(?P<device>[^/]+)$")
_KEPT: Final = ("TTL", "Urgency", "Topic")
_FAULTS: Final = {
    FaultName.THROTTLE: (429, "too many requests"),
    FaultName.ERROR_500: (500, "something went wrong"),
    FaultName.ERROR_503: (503, "try again later"),
    FaultName.BAD_CREDENTIALS: (403, "the key does not match the subscription"),
    FaultName.REJECTED_RECIPIENT: (410, "the subscription has expired"),
    FaultName.REJECTED_MESSAGE: (413, "the message is too large"),
}


class WebPush(HttpProvider):
    name = "webpush"
    title = "Web Push"
    endpoint = "/push/{device}"

    def check(self, call: Call) -> Submission:
        found = _ENDPOINT.match(call.path)
        if found is None:
            raise Refused(_error(404, "there is no such subscription"))
        if call.method != "POST":
            raise Refused(_error(405, "only POST is allowed"))
        try:
            check_headers(call.headers)
            authorization = call.headers.get("Authorization")
            check_vapid(authorization, origin=_origin(call), bound_to=found["key"], now=time.time())
            payload = opened(call.body)
        except Refusal as refusal:
            raise Refused(_error(refusal.status, str(refusal))) from None
        provider_id = f"{_origin(call)}/{self.name}/messages/{uuid.uuid4()}"
        endpoint = f"{_origin(call)}/{self.name}{call.path}"
        return Submission(provider_id, (_entry(payload, endpoint, provider_id, call),), (found["device"],), call.body)

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        return Reply(201, b"", None, {"Location": provider_id})

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        headers = {} if fault.retry_after is None else {"Retry-After": str(math.ceil(fault.retry_after))}
        return _error(*_FAULTS[fault.name], headers)

    def lookup(self, call: Call, inbox: Inbox) -> Reply | None:
        found = _SUBSCRIPTION.match(call.path) if call.method == "GET" else None
        if found is None:
            return None
        return Reply(200, orjson.dumps(subscription(f"{_origin(call)}/{self.name}", found["device"])))


def subscription(base_url: str, device: str, key: str | None = None) -> dict[str, Any]:
    """What the browser's `PushManager.subscribe` would give; `key` is the application server's, where it is bound."""
    endpoint = f"{base_url}/push/{quote(device, safe=':')}" + (f"/{key}" if key else "")
    return {"endpoint": endpoint, "expirationTime": None, "keys": {"p256dh": DEVICE_PUBLIC, "auth": DEVICE_AUTH}}


def _entry(payload: dict[str, Any], endpoint: str, provider_id: str, call: Call) -> Entry:
    headers = {name: call.headers[name] for name in _KEPT if name in call.headers}
    headers |= {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in payload.items()
        if name in ("url", "data")
    }
    message_id, image = payload.get("message_id"), payload.get("image")
    return Entry(
        provider=WebPush.name,
        channel="push",
        message_id=message_id if isinstance(message_id, str) else None,
        provider_message_id=provider_id,
        sender=None,
        to=(endpoint,),
        subject=payload.get("title"),
        text=payload.get("body"),
        headers=headers,
        media_urls=(image,) if isinstance(image, str) else (),
    )


def _origin(call: Call) -> str:
    return f"http://{call.headers.get('Host', 'localhost')}"


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps({"code": status, "message": message}), headers=headers or {})


PROVIDER: Final = WebPush()
