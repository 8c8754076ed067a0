"""Meta's WhatsApp Cloud API: POST /whatsapp_cloud/{version}/{phone number id}/messages.

    Authorization: Bearer <anything>
    {"messaging_product": "whatsapp", "to": "14155550100", "type": "text", "text": {"body": "Hello"}}
    200 {"messaging_product": "whatsapp", "contacts": [{"input", "wa_id"}], "messages": [{"id": "wamid.…"}]}
    4xx {"error": {"message": "(#131009) …", "type": "OAuthException", "code": 131009, "error_data": {…}, "fbtrace_id"}}

It does not know who wrote within 24 hours, so free text passes always.
"""

from __future__ import annotations

import base64
import math
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers import whatsapp_cloud_reports
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission, Target
from devstack.sandbox.providers.syntax import BAD, bearer_token, media_type
from devstack.sandbox.providers.whatsapp_cloud_checks import MetaError, check_message

_PATH: Final = re.compile(r"^/v[0-9]+\.[0-9]+/(?P<number>[0-9]+)/messages$")
_FAULTS: Final = {
    FaultName.THROTTLE: MetaError(130429, "Rate limit hit", "Message throughput has been reached", 429),
    FaultName.ERROR_500: MetaError(131000, "Something went wrong", "Unknown error", 500),
    FaultName.ERROR_503: MetaError(2, "Service temporarily unavailable", "", 503),
    FaultName.BAD_CREDENTIALS: MetaError(190, "Invalid OAuth access token.", "", 401),
    FaultName.REJECTED_RECIPIENT: MetaError(131026, "Message undeliverable", "Unable to deliver the message to {to}"),
    FaultName.REJECTED_MESSAGE: MetaError(131047, "Re-engagement message", "More than 24 hours have passed"),
}
_MAGIC: Final = {21610: MetaError(131050, "User has stopped marketing messages", "{to} does not want them")}
"""Twilio's test number of somebody who replied STOP means the same here."""


class WhatsAppCloud(HttpProvider):
    name = "whatsapp_cloud"
    title = "WhatsApp Cloud API"
    endpoint = "/v26.0/{phone-number-id}/messages"

    def check(self, call: Call) -> Submission:
        found = _PATH.match(call.path)
        if found is None or call.method != "POST":
            raise Refused(
                _error(MetaError(100, f"Unsupported {call.method.lower()} request", kind="GraphMethodException"))
            )
        token = bearer_token(call.headers.get("Authorization"))
        if token is None or BAD in token:
            raise Refused(_error(_FAULTS[FaultName.BAD_CREDENTIALS]))
        message = _parsed(call)
        problem = check_message(message)
        if problem is not None:
            raise Refused(_error(problem))
        number = f"+{message['to'].removeprefix('+')}"
        wamid = "wamid." + base64.b64encode(secrets.token_bytes(36)).decode()
        template = message.get("template")
        entry = Entry(
            provider=self.name,
            channel="whatsapp",
            message_id=message.get("biz_opaque_callback_data"),
            provider_message_id=wamid,
            sender=found["number"],
            to=(number,),
            text=message["text"]["body"] if template is None else orjson.dumps(template).decode(),
            headers={"type": message.get("type", "text")},
        )
        return Submission(wamid, (entry,), (number,), call.body)

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        sent: dict[str, Any] = {"id": provider_id}
        if submission.entries[0].headers["type"] == "template":
            sent["message_status"] = "accepted"
        to = orjson.loads(submission.raw)["to"]
        contacts = [{"input": to, "wa_id": to.removeprefix("+")}]
        return Reply(200, orjson.dumps({"messaging_product": "whatsapp", "contacts": contacts, "messages": [sent]}))

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        error = _MAGIC.get(fault.code or 0) or _FAULTS[fault.name]
        headers = {} if fault.retry_after is None else {"Retry-After": str(math.ceil(fault.retry_after))}
        return _error(error._replace(details=error.details.format(to=submission.recipients[0])), headers)

    def report(self, entry: Entry, happening: str, target: Target) -> Call | None:
        return whatsapp_cloud_reports.report(entry, happening, target)


def _error(error: MetaError, headers: Mapping[str, str] | None = None) -> Reply:
    body: dict[str, Any] = {
        "message": f"(#{error.code}) {error.title}",
        "type": error.kind,
        "code": error.code,
        "fbtrace_id": secrets.token_urlsafe(16),
    }
    if error.details:
        body["error_data"] = {"messaging_product": "whatsapp", "details": error.details}
    return Reply(error.status, orjson.dumps({"error": body}), headers=headers or {})


def _parsed(call: Call) -> dict[str, Any]:
    try:
        message = orjson.loads(call.body)
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict) or media_type(call.headers.get("Content-Type")) != "application/json":
        raise Refused(_error(MetaError(100, "Invalid parameter", "The body is not JSON")))
    return message


PROVIDER: Final = WhatsAppCloud()
