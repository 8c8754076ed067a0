"""What Mitto tells about messages: a call of the address that the message itself named.

    GET or POST …?token=<secret>&hermod_message_id=msg_…        msgid, status, errorcode, reference

Mitto documents neither the names nor the shape, so they are looked for in the query, a form or JSON, in any spelling
of upper and lower case. What people send to us has no known shape at all, and is not read.
"""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from hermod.channels.http_sender import text_of
from hermod.channels.sms.mitto.codes import STATUSES
from hermod.channels.sms.mitto.sender import MESSAGE_ID_PARAMETER, TOKEN_PARAMETER
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.tenants.accounts import Account
from hermod.ports.notifications.receipts import (
    Callback,
    Event,
    ParsedReceipt,
    ReceiptContext,
    SignatureInvalid,
    Unreadable,
)

_NO_ERROR: Final = frozenset({"", "0", "000"})


class MittoReceipts:
    """Implements `hermod.ports.notifications.receipts.ReceiptReader`."""

    async def read(self, call: Callback, account: Account, desk: ReceiptContext) -> ParsedReceipt:
        query = parse_qsl(urlsplit(call.url).query, keep_blank_values=True)
        _check([value for name, value in query if name == TOKEN_PARAMETER], account.credentials.get("callback_token"))
        ours = dict(query).get(MESSAGE_ID_PARAMETER)
        said = {name.lower(): value for name, value in [*query, *_fields(call)]}
        status = said.get("status", "").upper()
        message_id, mitto_id = ours or said.get("reference"), said.get("msgid") or said.get("id")
        if not status or not (message_id or mitto_id):
            raise Unreadable("there is no status of a message")
        code = said.get("errorcode", "")
        event = Event(
            id=f"{mitto_id or message_id}:{status}"[:200],
            kind=STATUSES.get(status, ReceiptEventType.UNKNOWN),
            word=status[:100],
            message_id=message_id or None,
            provider_message_id=mitto_id or None,
            code=None if code in _NO_ERROR else code[:100],
        )
        return ParsedReceipt(events=(event,))


def _check(tokens: list[str], callback_token: str | None) -> None:
    if not callback_token:
        raise SignatureInvalid("the account has no callback_token, and nothing else proves who calls")
    if len(tokens) != 1 or not hmac.compare_digest(tokens[0].encode(), callback_token.encode()):
        raise SignatureInvalid("the token does not fit")


def _fields(call: Callback) -> list[tuple[str, str]]:
    """The body's fields; none where there is no body."""
    if not call.body.strip():
        return []
    if call.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        return parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True)
    try:
        value = orjson.loads(call.body)
    except orjson.JSONDecodeError:
        raise Unreadable("the body is neither a form nor JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("the body is no JSON object")
    return [(name, said) for name, given in value.items() if (said := text_of(given)) is not None]
