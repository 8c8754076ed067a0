"""Acme's side: checks what Acme checks, answers in Acme's words, reports as Acme does."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections.abc import Mapping
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission, Target
from devstack.sandbox.providers.syntax import BAD, bearer_token, is_e164, media_type

_ERRORS: Final = {
    FaultName.THROTTLE: (429, "slow_down", "Too many requests."),
    FaultName.ERROR_500: (500, "internal", "Something went wrong."),
    FaultName.ERROR_503: (503, "maintenance", "Back soon."),
    FaultName.BAD_CREDENTIALS: (401, "bad_key", "The key is not known."),
    FaultName.REJECTED_RECIPIENT: (422, "no_such_number", "There is no number {to}."),
    FaultName.REJECTED_MESSAGE: (422, "bad_text", "The text cannot be sent."),
}
_REPORTS: Final = {
    "accepted": "handed_over",
    "delivered": "delivered",
    "soft_bounced": "unreachable",
    "bounced": "no_such_number",
    "unsubscribed": "opted_out",
}


class Acme(HttpProvider):
    name = "acme"
    title = "Acme"
    endpoint = "/v1/sms"

    def check(self, call: Call) -> Submission:
        if (call.method, call.path) != ("POST", self.endpoint):
            raise Refused(_error(404, "not_found", "There is nothing here."))
        token = bearer_token(call.headers.get("Authorization"))
        if token is None or BAD in token:
            raise Refused(_error(401, "bad_key", "The key is not known."))
        order = _order(call)
        provider_id = secrets.token_hex(12)
        entry = Entry(
            provider=self.name,
            channel="sms",
            message_id=order["reference"],
            provider_message_id=provider_id,
            sender=order["from"],
            to=(order["to"],),
            text=order["text"],
        )
        return Submission(provider_id, (entry,), entry.to, call.body)

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        return Reply(202, orjson.dumps({"id": provider_id}))

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        status, code, text = _ERRORS[fault.name]
        headers = {} if fault.retry_after is None else {"Retry-After": str(math.ceil(fault.retry_after))}
        return _error(status, code, text.format(to=submission.recipients[0]), headers)

    def report(self, entry: Entry, happening: str, target: Target) -> Call | None:
        word = _REPORTS.get(happening)
        if word is None:
            return None
        report = {"id": entry.provider_message_id, "reference": entry.message_id, "to": entry.to[0], "status": word}
        body, time = orjson.dumps(report), int(target.now.timestamp())
        key = target.credentials["webhook_secret"].encode()
        signature = hmac.new(key, b"%d.%b" % (time, body), hashlib.sha256).hexdigest()
        headers = {"X-Acme-Signature": f"t={time},v1={signature}", "Content-Type": "application/json"}
        return Call("POST", target.url, headers, body)


def _order(call: Call) -> dict[str, Any]:
    if media_type(call.headers.get("Content-Type")) != "application/json":
        raise Refused(_error(415, "bad_type", "Send JSON."))
    try:
        order = orjson.loads(call.body)
    except orjson.JSONDecodeError:
        raise Refused(_error(400, "bad_json", "The body is not JSON.")) from None
    wanted = ("to", "from", "text", "reference")
    if not isinstance(order, dict) or not all(isinstance(order.get(name), str) and order[name] for name in wanted):
        raise Refused(_error(422, "missing", f"Needed: {', '.join(wanted)}."))
    if not is_e164(order["to"]):
        raise Refused(_error(422, "no_such_number", "Write the number with + and the country code."))
    return order


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps({"error": {"code": code, "message": message}}), headers=headers or {})


PROVIDER: Final = Acme()
