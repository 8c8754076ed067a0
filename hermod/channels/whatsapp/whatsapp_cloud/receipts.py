"""What Meta tells about messages, in webhooks of the app (field `messages`, and `user_preferences`).

    GET  ?hub.mode=subscribe&hub.verify_token=…&hub.challenge=…      answered with the challenge, when it is set up
    POST X-Hub-Signature-256: sha256=<hex HMAC-SHA256 of the body, key: app secret>
    {"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value":
      {"statuses": [{"id": "wamid.…", "status": "failed", "biz_opaque_callback_data": "msg_…", "errors": […]}],
       "messages": [{"id": "wamid.…", "from": "1415…", "type": "text", "text": {"body": "STOP"}}]}}]}]}

One call may carry many entries and changes; they repeat for up to seven days, in any order, and no time is signed.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from hermod.channels.calls import id_of, only_header, unix_time
from hermod.channels.http_sender import text_of
from hermod.channels.redaction import one_line
from hermod.channels.whatsapp.whatsapp_cloud.codes import FAILURES, PREFERENCES, STATUSES
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.tenants.accounts import Account
from hermod.domain.notifications.keywords import keyword
from hermod.ports.notifications.receipts import (
    Answer,
    Callback,
    Event,
    ParsedReceipt,
    ReceiptContext,
    SignatureInvalid,
    Unreadable,
)

HEADER: Final = "x-hub-signature-256"
_OBJECT: Final = "whatsapp_business_account"


class WhatsAppCloudReceipts:
    """Implements `hermod.ports.notifications.receipts.ReceiptReader`."""

    async def read(self, call: Callback, account: Account, desk: ReceiptContext) -> ParsedReceipt:
        if call.method == "GET":
            return _shaken(call, account.credentials.get("verify_token"))
        _check(call, account.credentials.get("app_secret"))
        secrets = tuple(account.credentials.values())
        return ParsedReceipt(events=tuple(event for value in _values(call.body) for event in _events(value, secrets)))


def _shaken(call: Callback, verify_token: str | None) -> ParsedReceipt:
    if not verify_token:
        raise SignatureInvalid("the account has no verify_token")
    pairs = parse_qsl(urlsplit(call.url).query, keep_blank_values=True)
    query = dict(pairs)
    if len(query) < len(pairs) or query.get("hub.mode") != "subscribe" or "hub.challenge" not in query:
        raise SignatureInvalid("this is no handshake")
    if not hmac.compare_digest(query.get("hub.verify_token", "").encode(), verify_token.encode()):
        raise SignatureInvalid("the verify_token does not fit")
    return ParsedReceipt(answer=Answer(body=query["hub.challenge"].encode(), content_type="text/plain"))


def _check(call: Callback, app_secret: str | None) -> None:
    if not app_secret:
        raise SignatureInvalid("the account has no app_secret, which is what signs")
    given = only_header(call, HEADER)
    expected = "sha256=" + hmac.new(app_secret.encode(), call.body, sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise SignatureInvalid("the signature does not fit")


def _values(body: bytes) -> Iterator[dict[str, Any]]:
    """The `value` of each change."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unreadable("the body is not JSON") from None
    if not isinstance(parsed, dict) or parsed.get("object") != _OBJECT or not isinstance(parsed.get("entry"), list):
        raise Unreadable("the body is no notification of a WhatsApp Business Account")
    for entry in _objects(parsed["entry"]):
        for change in _objects(entry.get("changes")):
            if isinstance(change.get("value"), dict):
                yield change["value"]


def _events(value: dict[str, Any], secrets: tuple[str, ...]) -> Iterator[Event]:
    for status in _objects(value.get("statuses")):
        if isinstance(status.get("id"), str) and isinstance(status.get("status"), str):
            yield from _status(status, secrets)
    for message in _objects(value.get("messages")):
        if isinstance(message.get("id"), str):
            yield _inbound(message)
    for preference in _objects(value.get("user_preferences")):
        yield _preference(preference)


def _status(status: dict[str, Any], secrets: tuple[str, ...]) -> Iterator[Event]:
    """What happened to the message; and beside it, where it failed because the person opted out, just that."""
    wamid, word, code, text = status["id"], status["status"], None, None
    error = next(iter(_objects(status.get("errors"))), None)
    if error is not None:
        code, text = text_of(error.get("code")), text_of(error.get("title")) or text_of(error.get("message"))
    event = Event(
        id=_event_id(wamid, word, code or ""),
        kind=STATUSES.get(word, ReceiptEventType.UNKNOWN),
        word=word,
        at=_moment(status.get("timestamp")),
        message_id=text_of(status.get("biz_opaque_callback_data")),
        provider_message_id=wamid,
        address=_number(status.get("recipient_id")),
        code=code,
        text=one_line(text, secrets) if text else None,
    )
    failure = FAILURES.get(code or "") if event.kind is ReceiptEventType.FAILED else None
    if failure is ReceiptEventType.UNSUBSCRIBED:
        yield event
        yield replace(event, id=_event_id(wamid, word, code or "", failure), kind=failure)
    else:
        yield replace(event, kind=failure) if failure else event


def _inbound(message: dict[str, Any]) -> Event:
    return Event(
        id=_event_id(message["id"]),
        kind=ReceiptEventType.INBOUND,
        word=text_of(message.get("type")) or "message",
        at=_moment(message.get("timestamp")),
        provider_message_id=message["id"],
        address=_number(message.get("from")),
        words=_said(message),
    )


def _preference(preference: dict[str, Any]) -> Event:
    value = text_of(preference.get("value")) or ""
    number = _number(preference.get("wa_id"))
    moment = text_of(preference.get("timestamp")) or ""
    category = text_of(preference.get("category")) or ""
    return Event(
        id=id_of("user_preferences", number, category, value, moment),
        kind=PREFERENCES.get(value, ReceiptEventType.UNKNOWN),
        word=f"user_preferences/{value}",
        at=_moment(preference.get("timestamp")),
        address=number,
        code=category or None,
    )


def _said(message: dict[str, Any]) -> str | None:
    """What an inbound message says; of a button's payload and its text, the one that is a keyword."""
    places = (("button", "payload"), ("button", "text"), ("text", "body"), ("image", "caption"), ("video", "caption"))
    found = [message[part].get(name) for part, name in places if isinstance(message.get(part), dict)]
    interactive = message.get("interactive")
    for reply in _objects(list(interactive.values())) if isinstance(interactive, dict) else ():
        found += [reply.get("id"), reply.get("title")]
    words = [one for one in found if isinstance(one, str) and one]
    return next((one for one in words if keyword(one)), words[-1] if words else None)


def _objects(value: object) -> Iterator[dict[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


def _event_id(*parts: str) -> str:
    """The parts themselves; a digest where an id of Meta's is longer than an event's may be."""
    joined = ":".join(part for part in parts if part)
    return joined if len(joined) <= 200 else id_of(*parts)


def _number(digits: object) -> str | None:
    """E.164 of a `wa_id`, which has no plus. People with a user name only have no number."""
    return f"+{digits}" if isinstance(digits, str) and digits.isascii() and digits.isdecimal() else None


def _moment(seconds: object) -> datetime | None:
    """Meta writes unix times as strings, and as numbers in preferences."""
    text = text_of(seconds)
    return unix_time(int(text)) if text is not None and text.isdecimal() and len(text) <= 11 else None
