"""Firebase Cloud Messaging, HTTP v1, and the sign-in that goes with it.

    POST /fcm/token                                     a JWT for an access token, as oauth2.googleapis.com does
    POST /fcm/v1/projects/{project}/messages:send       Authorization: Bearer <that access token>

An access token says by itself until when it is good. Any service account is good whose names have the right form.
"""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission
from devstack.sandbox.providers.fcm_checks import Problem, check_grant, check_message
from devstack.sandbox.providers.syntax import bearer_token

TOKEN_PATH: Final = "/token"
LIFETIME: Final = 3599
_PATH: Final = re.compile(r"^/v1/projects/(?P<project>[a-z0-9.:-]+)/messages:send$")
_ACCESS_TOKEN: Final = re.compile(r"^ya29\.(?P<until>[0-9]{10})\.[0-9a-f]{32}$")
_CONTENT_TYPE: Final = "application/json; charset=UTF-8"
_TYPE: Final = "type.googleapis.com/"


class _Error(NamedTuple):
    status: int
    status_name: str
    message: str
    code: str | None = None
    """FCM's own."""


_FAULTS: Final = {
    FaultName.THROTTLE: _Error(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric", "QUOTA_EXCEEDED"),
    FaultName.ERROR_500: _Error(500, "INTERNAL", "Internal error encountered.", "INTERNAL"),
    FaultName.ERROR_503: _Error(503, "UNAVAILABLE", "The service is currently unavailable.", "UNAVAILABLE"),
    FaultName.REJECTED_RECIPIENT: _Error(404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED"),
    FaultName.REJECTED_MESSAGE: _Error(400, "INVALID_ARGUMENT", "Android message is too big", "INVALID_ARGUMENT"),
}


class Fcm(HttpProvider):
    name = "fcm"
    title = "Firebase Cloud Messaging"
    endpoint = "/v1/projects/{project_id}/messages:send"

    def lookup(self, call: Call, inbox: Inbox) -> Reply | None:
        if call.path != TOKEN_PATH:
            return None
        now = int(time.time())
        problem = check_grant(call, now)
        if problem is not None:
            raise Refused(_json(400, {"error": problem.error, "error_description": problem.description}))
        token = f"ya29.{now + LIFETIME:010d}.{secrets.token_hex(16)}"
        return _json(200, {"access_token": token, "expires_in": LIFETIME, "token_type": "Bearer"})

    def check(self, call: Call) -> Submission:
        path = _PATH.match(call.path)
        if path is None or call.method != "POST":
            raise Refused(Reply(404, b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", "text/html"))
        access = _ACCESS_TOKEN.match(bearer_token(call.headers.get("Authorization")) or "")
        if access is None or int(access["until"]) <= time.time():
            raise Refused(_unauthenticated())
        checked = check_message(call)
        if isinstance(checked, Problem):
            raise Refused(_invalid(checked))
        message, token = checked
        name = f"projects/{path['project']}/messages/0:{time.time_ns() // 1000}%{secrets.token_hex(8)}"
        return Submission(name, (self._entry(message, token, name),), (token,), call.body)

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        return _json(200, {"name": provider_id})

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        if fault.name is FaultName.BAD_CREDENTIALS:
            return _unauthenticated()
        error = _FAULTS[fault.name]
        headers = {} if fault.retry_after is None else {"Retry-After": str(math.ceil(fault.retry_after))}
        return _error(error, headers=headers)

    def _entry(self, message: Mapping[str, Any], token: str, name: str) -> Entry:
        notification, data = message.get("notification", {}), message.get("data", {})
        shown = {part: message[part] for part in ("android", "apns", "webpush") if part in message}
        shown["data"] = {key: value for key, value in data.items() if key != "hermod_message_id"}
        return Entry(
            provider=self.name,
            channel="push",
            message_id=data.get("hermod_message_id"),
            provider_message_id=name,
            sender=None,
            to=(token,),
            subject=notification.get("title"),
            text=notification.get("body"),
            headers={part: orjson.dumps(value).decode() for part, value in shown.items() if value},
            media_urls=(notification["image"],) if "image" in notification else (),
        )


def _json(status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps(body), _CONTENT_TYPE, headers or {})


def _error(error: _Error, *more: dict[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    own = [{"@type": f"{_TYPE}google.firebase.fcm.v1.FcmError", "errorCode": error.code}] if error.code else []
    body = {
        "code": error.status,
        "message": error.message,
        "status": error.status_name,
        "details": [*own, *more],
    }
    return _json(error.status, {"error": {name: value for name, value in body.items() if value}}, headers)


def _invalid(problem: Problem) -> Reply:
    error = _Error(400, "INVALID_ARGUMENT", problem.message, "INVALID_ARGUMENT" if problem.own else None)
    if problem.field is None:
        return _error(error)
    violations = [{"field": problem.field, "description": problem.message}]
    return _error(error, {"@type": f"{_TYPE}google.rpc.BadRequest", "fieldViolations": violations})


def _unauthenticated() -> Reply:
    text = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    return _error(
        _Error(401, "UNAUTHENTICATED", text + "authentication credential."),
        {"@type": f"{_TYPE}google.rpc.ErrorInfo", "reason": "ACCESS_TOKEN_EXPIRED", "domain": "googleapis.com"},
        headers={"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'},
    )


PROVIDER: Final = Fcm()
