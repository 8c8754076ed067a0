"""Mailgun's Messages API: POST /mailgun/v3/{domain}/messages, and its webhooks.

Every domain exists here, except those that contain `bad`. What is not the API is Mailgun's front page, which says 200.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import re
import secrets
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission, Target
from devstack.sandbox.providers.mailgun_checks import check_message, entry_of, recipients_of
from devstack.sandbox.providers.mailgun_form import BadForm, parts_of
from devstack.sandbox.providers.syntax import BAD

MAX_BYTES: Final = int(52.4 * 1024 * 1024)
_PATH: Final = re.compile(r"^/v3/(?P<domain>[A-Za-z0-9.-]+)/messages$")
_FAULTS: Final = {
    FaultName.ERROR_500: (500, "Internal Server Error"),
    FaultName.ERROR_503: (503, "Service Unavailable"),
    FaultName.REJECTED_RECIPIENT: (400, "to parameter is not a valid address. please check documentation"),
    FaultName.REJECTED_MESSAGE: (400, "Need at least one of 'text' or 'html' parameters specified"),
}
_FAILURES: Final[dict[str, tuple[str, str, int, str]]] = {
    "deferred": ("temporary", "generic", 451, "4.7.1 <{to}>: greylisted"),
    "bounced": ("permanent", "bounce", 550, "5.1.1 The email account {to} does not exist"),
    "soft_bounced": ("permanent", "old", 602, "Too old"),
    "suppressed": ("permanent", "suppress-bounce", 605, "Not delivering to previously bounced address"),
}
_READERS: Final = ("opened", "clicked", "unsubscribed", "complained")


class Mailgun(HttpProvider):
    name = "mailgun"
    title = "Mailgun"
    endpoint = "/v3/{domain}/messages"

    def check(self, call: Call) -> Submission:
        found = _PATH.match(call.path)
        if found is None:
            raise Refused(Reply(200, b"Mailgun Magnificent API", "text/plain"))
        if call.method != "POST":
            raise Refused(_answer(405, "Method Not Allowed"))
        if not _knows_key(call.headers.get("Authorization")):
            raise Refused(_forbidden())
        if BAD in found["domain"]:
            raise Refused(_answer(404, f"Domain not found: {found['domain']}"))
        if len(call.body) > MAX_BYTES:
            raise Refused(_answer(413, "Request Entity Too Large"))
        try:
            parts = parts_of(call.headers.get("Content-Type", ""), call.body)
        except BadForm as reason:
            raise Refused(_answer(400, str(reason))) from None
        fault = check_message(parts)
        if fault is not None:
            raise Refused(_answer(400, fault))
        stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
        message_id = f"{stamp}.1.{secrets.token_hex(8)}@{found['domain']}"
        test = any(part.name == "o:testmode" and part.text in ("yes", "true") for part in parts)
        entries = () if test else (entry_of(parts, message_id),)
        return Submission(message_id, entries, recipients_of(parts), call.body)

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        return _answer(200, "Queued. Thank you.", id=f"<{provider_id}>")

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        if fault.name is FaultName.BAD_CREDENTIALS:
            return _forbidden()
        if fault.name is not FaultName.THROTTLE:
            return _answer(*_FAULTS[fault.name])
        seconds = 120 if fault.retry_after is None else math.ceil(fault.retry_after)
        return _answer(429, f"Domain mail.example.com: hourly limit exceeded, try again after {seconds} seconds")

    def report(self, entry: Entry, happening: str, target: Target) -> Call | None:
        data = _event(entry, happening, target.now)
        key = target.credentials.get("webhook_signing_key", "")
        if data is None:
            return None
        timestamp = str(int(target.now.timestamp()))
        token = hashlib.sha256(f"{entry.provider_message_id} {happening} {target.now}".encode()).hexdigest()[:50]
        signature = hmac.new(key.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
        body = {"signature": {"timestamp": timestamp, "token": token, "signature": signature}, "event-data": data}
        headers = {"Content-Type": "application/json", "User-Agent": "mailgun/webhooks"}
        return Call("POST", target.url, headers, orjson.dumps(body))


def _answer(status: int, message: str, **more: str) -> Reply:
    return Reply(status, orjson.dumps({**more, "message": message}))


def _forbidden() -> Reply:
    return Reply(401, b"Forbidden", "text/plain", {"WWW-Authenticate": 'Basic realm="MG API"'})


def _knows_key(authorization: str | None) -> bool:
    scheme, _, value = (authorization or "").partition(" ")
    try:
        user, _, key = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return scheme.lower() == "basic" and user == "api" and bool(key) and BAD not in key


def _event(entry: Entry, happening: str, now: datetime) -> dict[str, Any] | None:
    """`event-data` of the webhook, or None where Mailgun has none for this."""
    to = entry.to[0]
    data: dict[str, Any] = {
        "id": hashlib.sha256(f"{entry.provider_message_id} {happening}".encode()).hexdigest()[:22],
        "timestamp": now.timestamp(),
        "log-level": "info",
        "recipient": to,
        "recipient-domain": to.rpartition("@")[2],
        "tags": [],
        "user-variables": {"hermod_message_id": entry.message_id} if entry.message_id else {},
        "message": {
            "headers": {
                "message-id": entry.provider_message_id,
                "to": to,
                "from": entry.sender,
                "subject": entry.subject,
            },
            "size": 512,
        },
        "flags": {"is-test-mode": False},
    }
    if happening in _FAILURES:
        severity, reason, code, text = _FAILURES[happening]
        status = _status(code, text.format(to=to))
        return data | {"event": "failed", "severity": severity, "reason": reason, "delivery-status": status}
    if happening == "failed":
        return data | {"event": "rejected", "reject": {"reason": "Sandbox subdomains are for test purposes only"}}
    if happening == "delivered":
        return data | {"event": "delivered", "delivery-status": _status(250, "OK")}
    if happening == "accepted":
        return data | {"event": "accepted", "method": "HTTP"}
    if happening in _READERS:
        reader: dict[str, Any] = {"client-info": {"user-agent": "Mozilla/5.0", "bot": ""}, "ip": "192.0.2.1"}
        link = {"url": "https://example.com/"} if happening == "clicked" else {}
        return data | {"event": happening} | reader | link
    return None


def _status(code: int, message: str) -> dict[str, Any]:
    return {
        "code": code,
        "message": message,
        "description": "",
        "attempt-no": 1,
        "mx-host": "mx.example.com",
        "tls": True,
    }


PROVIDER: Final = Mailgun()
