"""Mitto's SMS API: POST /mitto/sms.

    X-Mitto-API-Key: <anything>      {"from": "Brand", "to": "41791234567", "text": "Hi", "type": "GSM", …}
    200 {"id": "…", "timestamp": "…", "responseCode": 0, "responseText": "Message was sent", "textLength": 2, …}
    200 {"responseCode": 8, "responseText": "Invalid receiver", …}        400, 401, 404 and 429 of HTTP's own

Its reports are forms. Nothing signs them: they go to the callback that the message named, with the query it has.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import orjson

from devstack.sandbox.entry import Entry, now
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission, Target
from devstack.sandbox.providers.mitto_checks import MittoError, check_message
from devstack.sandbox.providers.syntax import BAD, media_type

PATH: Final = "/sms"
_FAULTS: Final = {
    FaultName.THROTTLE: MittoError(429, "Too many requests", 429),
    FaultName.ERROR_500: MittoError(1, "Internal error", 500),
    FaultName.ERROR_503: MittoError(1, "Internal error", 503),
    FaultName.BAD_CREDENTIALS: MittoError(401, "Unauthorized", 401),
    FaultName.REJECTED_RECIPIENT: MittoError(8, "Invalid receiver"),
    FaultName.REJECTED_MESSAGE: MittoError(4, "Invalid message text"),
}
_STATUSES: Final = {
    "accepted": ("SENT", "0"),
    "deferred": ("BUFFERED", "0"),
    "delivered": ("DELIVERED", "0"),
    "soft_bounced": ("UNDELIVERED", "6"),
    "failed": ("FAILED", "5"),
}


class Mitto(HttpProvider):
    name = "mitto"
    title = "Mitto"
    endpoint = PATH

    def check(self, call: Call) -> Submission:
        if call.path != PATH or call.method != "POST":
            raise Refused(_answer(MittoError(404, "Not found", 404)))
        key = call.headers.get("X-Mitto-API-Key")
        if not key or BAD in key:
            raise Refused(_answer(_FAULTS[FaultName.BAD_CREDENTIALS]))
        message = _parsed(call)
        problem = check_message(message)
        if problem is not None:
            raise Refused(_answer(problem))
        number, provider_id = f"+{message['to']}", str(uuid.uuid4())
        entry = Entry(
            provider=self.name,
            channel="sms",
            message_id=message.get("reference"),
            provider_message_id=provider_id,
            sender=message["from"],
            to=(number,),
            text=message["text"],
            headers={name: str(value) for name, value in message.items() if name not in ("from", "to", "text")},
        )
        taken = () if message.get("test") else (entry,)
        return Submission(provider_id, taken, (number,), call.body)

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        message = orjson.loads(submission.raw)
        said = {
            "timestamp": now(),
            "responseCode": 0,
            "responseText": "Message was sent",
            "textLength": len(message["text"]),
            "test": not submission.entries,
            "to": message["to"],
        }
        return Reply(200, orjson.dumps({"id": provider_id, **said} if submission.entries else said))

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        headers = {} if fault.retry_after is None else {"Retry-After": str(math.ceil(fault.retry_after))}
        return _answer(_FAULTS[fault.name], headers)

    def report(self, entry: Entry, happening: str, target: Target) -> Call | None:
        token, known = target.credentials.get("callback_token"), _STATUSES.get(happening)
        if known is None or not token:
            return None
        query = urlsplit(entry.headers.get("callback", "")).query or urlencode({"token": token})
        status, code = known
        form = {"msgid": entry.provider_message_id, "status": status, "errorcode": code}
        if entry.message_id:
            form["reference"] = entry.message_id
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Call("POST", f"{target.url}?{query}", headers, urlencode(form).encode())


def _answer(error: MittoError, headers: Mapping[str, str] | None = None) -> Reply:
    body = {"responseCode": error.code, "responseText": error.text}
    return Reply(
        error.status, orjson.dumps(body if error.code < 400 else {"message": error.text}), headers=headers or {}
    )


def _parsed(call: Call) -> dict[str, Any]:
    try:
        message = orjson.loads(call.body)
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict) or media_type(call.headers.get("Content-Type")) != "application/json":
        raise Refused(_answer(MittoError(400, "Bad request", 400)))
    return message


PROVIDER: Final = Mitto()
