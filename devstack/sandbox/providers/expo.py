"""Expo's push service: POST /expo/--/api/v2/push/send, and …/getReceipts for what became of a ticket.

Devices are named by what stands in the brackets of their token, and some have a fate of their own, alone or before a
colon: `ExponentPushToken[unregistered:1]` is refused in its ticket, `[uninstalled:1]` and `[busy:1]` in their receipts.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission
from devstack.sandbox.providers.expo_checks import ExpoError, Refusal, check_messages, inner, is_too_big
from devstack.sandbox.providers.syntax import BAD, bearer_token, media_type

PATH: Final = "/--/api/v2/push/send"
RECEIPTS: Final = "/--/api/v2/push/getReceipts"
MAX_RECEIPTS: Final = 1000
RECEIPT: Final = "expo-receipt"
"""The entry's header that says which error its receipt will have."""

_FATES: Final = {"uninstalled": "DeviceNotRegistered", "busy": "MessageRateExceeded"}
_FAULTS: Final = {
    FaultName.THROTTLE: ExpoError("TOO_MANY_REQUESTS", "Too many notifications for this project", 429),
    FaultName.ERROR_500: ExpoError("INTERNAL_SERVER_ERROR", "An unknown error occurred.", 500),
    FaultName.ERROR_503: ExpoError("SERVICE_UNAVAILABLE", "The service is not available right now.", 503),
    FaultName.BAD_CREDENTIALS: ExpoError("UNAUTHORIZED", "The access token is not valid.", 401),
    FaultName.REJECTED_MESSAGE: ExpoError("VALIDATION_ERROR", '"[0]" cannot be sent'),
}


@dataclass(slots=True)
class ExpoSubmission(Submission):
    tickets: list[dict[str, Any]] = field(default_factory=list)
    alone: bool = False
    """The request was one message and no list, and so is the answer."""


class Expo(HttpProvider):
    name = "expo"
    title = "Expo push"
    endpoint = PATH

    def check(self, call: Call) -> ExpoSubmission:
        given = _body(call, PATH)
        try:
            messages = check_messages(given)
        except Refusal as refusal:
            raise Refused(_error(refusal.error)) from None
        submission = ExpoSubmission("", [], [], call.body, alone=isinstance(given, dict))
        entries, recipients = [], []
        for message in messages:
            if _word(message["to"]) == "unregistered":
                submission.tickets.append(_unregistered(message["to"]))
                continue
            entry = _entry(message)
            entries.append(entry)
            recipients.append(inner(message["to"]))
            submission.tickets.append({"status": "ok", "id": entry.provider_message_id})
        submission.entries, submission.recipients = entries, recipients
        submission.provider_id = entries[0].provider_message_id if entries else ""
        return submission

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        return _tickets(submission, submission.tickets) if isinstance(submission, ExpoSubmission) else Reply(500)

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        if fault.name is FaultName.REJECTED_RECIPIENT:
            return _tickets(submission, [_unregistered(entry.to[0]) for entry in submission.entries])
        headers = {} if fault.retry_after is None else {"Retry-After": str(math.ceil(fault.retry_after))}
        return _error(_FAULTS[fault.name], headers)

    def lookup(self, call: Call, inbox: Inbox) -> Reply | None:
        if call.path != RECEIPTS:
            return None
        given = _body(call, RECEIPTS)
        ids = given.get("ids") if isinstance(given, dict) else None
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise Refused(_error(ExpoError("VALIDATION_ERROR", '"ids" must be a list of strings')))
        if len(ids) > MAX_RECEIPTS:
            raise Refused(_error(ExpoError("PUSH_TOO_MANY_RECEIPTS", f"at most {MAX_RECEIPTS} receipts at once")))
        found = {one: inbox.of_provider_id(one) for one in ids}
        return Reply(200, orjson.dumps({"data": {one: _receipt(entry) for one, entry in found.items() if entry}}))


def _body(call: Call, path: str) -> Any:
    """The JSON of a POST whose caller may be here."""
    if call.path != path:
        raise Refused(_error(ExpoError("NOT_FOUND", "Not found", 404)))
    if call.method != "POST":
        raise Refused(_error(ExpoError("METHOD_NOT_ALLOWED", "Only POST is allowed", 405)))
    authorization = call.headers.get("Authorization")
    token = bearer_token(authorization)
    if authorization is not None and (token is None or BAD in token):
        raise Refused(_error(_FAULTS[FaultName.BAD_CREDENTIALS]))
    if media_type(call.headers.get("Content-Type")) != "application/json":
        raise Refused(_error(ExpoError("VALIDATION_ERROR", "Content-Type must be application/json")))
    try:
        return orjson.loads(call.body)
    except orjson.JSONDecodeError:
        raise Refused(_error(ExpoError("VALIDATION_ERROR", "The body is not JSON"))) from None


def _entry(message: dict[str, Any]) -> Entry:
    data = message.get("data", {})
    own_id = data.get("hermod_message_id")
    headers = {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in message.items()
        if name not in ("to", "title", "body")
    }
    fate = "MessageTooBig" if is_too_big(message) else _FATES.get(_word(message["to"]))
    if fate is not None:
        headers[RECEIPT] = fate
    image = message.get("richContent", {}).get("image")
    return Entry(
        provider=Expo.name,
        channel="push",
        message_id=own_id if isinstance(own_id, str) else None,
        provider_message_id=str(uuid.uuid4()),
        sender=None,
        to=(message["to"],),
        subject=message.get("title"),
        text=message.get("body"),
        headers=headers,
        media_urls=(image,) if image else (),
    )


def _word(token: str) -> str:
    return inner(token).partition(":")[0].lower()


def _receipt(entry: Entry) -> dict[str, Any]:
    error = entry.headers.get(RECEIPT)
    if error is None:
        return {"status": "ok"}
    return {"status": "error", "message": f'"{entry.to[0]}" was not reached', "details": {"error": error}}


def _unregistered(token: str) -> dict[str, Any]:
    message = f'"{token}" is not a registered push notification recipient'
    return {"status": "error", "message": message, "details": {"error": "DeviceNotRegistered"}}


def _tickets(submission: Submission, tickets: list[dict[str, Any]]) -> Reply:
    alone = isinstance(submission, ExpoSubmission) and submission.alone
    return Reply(200, orjson.dumps({"data": tickets[0] if alone else tickets}))


def _error(error: ExpoError, headers: Mapping[str, str] | None = None) -> Reply:
    details = {} if error.details is None else {"details": error.details}
    body = {"errors": [{"code": error.code, "message": error.message, "isTransient": error.status >= 429, **details}]}
    return Reply(error.status, orjson.dumps(body), headers=headers or {})


PROVIDER: Final = Expo()
