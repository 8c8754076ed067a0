"""Apple's push service: POST /3/device/{token}, over HTTP/2 and at the root of a port of its own.

Any key is good whose names have the right form. Reasons are Apple's; a refusal has no other body than its reason.
"""

from __future__ import annotations

import math
import time
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.apns_checks import Problem, check_push
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission

_FAULTS: Final = {
    FaultName.THROTTLE: Problem(429, "TooManyProviderTokenUpdates"),
    FaultName.ERROR_500: Problem(500, "InternalServerError"),
    FaultName.ERROR_503: Problem(503, "ServiceUnavailable"),
    FaultName.BAD_CREDENTIALS: Problem(403, "InvalidProviderToken"),
    FaultName.REJECTED_RECIPIENT: Problem(410, "Unregistered"),
    FaultName.REJECTED_MESSAGE: Problem(413, "PayloadTooLarge"),
}
_SHOWN: Final = ("apns-topic", "apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id")


class Apns(HttpProvider):
    name = "apns"
    title = "Apple Push Notification service"
    endpoint = "/3/device/{token}"
    http2 = True

    def check(self, call: Call) -> Submission:
        push = check_push(call, int(time.time()))
        if isinstance(push, Problem):
            raise Refused(_refusal(push))
        alert = push.payload["aps"].get("alert", {})
        words: dict[str, Any] = alert if isinstance(alert, dict) else {"body": alert}
        own_id = push.payload.get("hermod_message_id")
        extra = {name: value for name, value in push.payload.items() if name not in ("aps", "hermod_message_id")}
        headers = {name: call.headers[name] for name in _SHOWN if name in call.headers}
        entry = Entry(
            provider=self.name,
            channel="push",
            message_id=own_id if isinstance(own_id, str) else None,
            provider_message_id=push.id,
            sender=call.headers["apns-topic"],
            to=(push.token,),
            subject=words.get("title"),
            text=words.get("body"),
            headers=headers | ({"data": orjson.dumps(extra).decode()} if extra else {}),
        )
        return Submission(push.id, (entry,), (push.token,), call.body)

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        return Reply(200, b"", None, {"apns-id": provider_id})

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        wait = {} if fault.retry_after is None else {"Retry-After": str(math.ceil(fault.retry_after))}
        return _refusal(_FAULTS[fault.name], {"apns-id": submission.provider_id, **wait})


def _refusal(problem: Problem, headers: dict[str, str] | None = None) -> Reply:
    body: dict[str, Any] = {"reason": problem.reason}
    if problem.status == 410:
        body["timestamp"] = int(time.time() * 1000)
    return Reply(problem.status, orjson.dumps(body), headers=headers or {})


PROVIDER: Final = Apns()
