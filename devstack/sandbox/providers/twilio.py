"""Twilio's Messages resource, SMS, MMS and WhatsApp: POST /twilio/2010-04-01/Accounts/{AC…}/Messages.json.

A message can be read back at …/Messages/{sid}.json. Codes and texts are those of Twilio's error dictionary
(twilio.com/docs/api/errors); the first fault of a request is the answer, as at Twilio.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission, Target
from devstack.sandbox.providers.syntax import BAD, media_type
from devstack.sandbox.providers.twilio_checks import Form, TwilioError, check_message, segments
from devstack.sandbox.providers.twilio_reports import parameters, signed_call

_PATH: Final = re.compile(r"^/2010-04-01/Accounts/(?P<account>[^/]*)/Messages(?:/(?P<sid>[^/]+))?\.json$")
_ACCOUNT_SID: Final = re.compile(r"^AC[0-9a-fA-F]{32}$")
_API_KEY_SID: Final = re.compile(r"^SK[0-9a-fA-F]{32}$")
_MESSAGE_ID: Final = re.compile(r"\bmsg_[0-9A-Za-z]+")
_DELIVERED_AFTER: Final = timedelta(seconds=2)
_CONTENT_TYPE: Final = "application/json;charset=utf-8"

_FAULTS: Final = {
    FaultName.THROTTLE: TwilioError(20429, "Too Many Requests", 429),
    FaultName.ERROR_500: TwilioError(20500, "An internal server error has occurred", 500),
    FaultName.ERROR_503: TwilioError(20503, "Service is unavailable", 503),
    FaultName.BAD_CREDENTIALS: TwilioError(20003, "Authenticate", 401),
    FaultName.REJECTED_RECIPIENT: TwilioError(21211, "The 'To' number {to} is not a valid phone number."),
    FaultName.REJECTED_MESSAGE: TwilioError(21618, "The message body cannot be sent"),
}
_MAGIC: Final = {
    21612: TwilioError(
        21612, "Message cannot be sent with the current combination of 'To' ({to}) and/or 'From' parameters"
    ),
    21408: TwilioError(
        21408, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number: {to}"
    ),
    21610: TwilioError(21610, "Attempt to send to unsubscribed recipient"),
    21614: TwilioError(21614, "'To' number is not a valid mobile number: {to}"),
}


class Twilio(HttpProvider):
    name = "twilio"
    title = "Twilio"
    endpoint = "/2010-04-01/Accounts/{AccountSid}/Messages.json"

    def check(self, call: Call) -> Submission:
        account, sid = _resource(call)
        if call.method != "POST" or sid is not None:
            raise Refused(refusal_of(TwilioError(20004, "Method not allowed", 405)))
        form = _form(call)
        problem = check_message(form, now=datetime.now(UTC))
        if problem is not None:
            raise Refused(refusal_of(problem))
        return self._submission(account, form, call.body)

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        return Reply(201, orjson.dumps(_message(submission.entries[0], created=True)), _CONTENT_TYPE)

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        error = _MAGIC.get(fault.code or 0) or _FAULTS[fault.name]
        headers = {} if fault.retry_after is None else {"Retry-After": str(math.ceil(fault.retry_after))}
        to = submission.recipients[0]
        return refusal_of(error._replace(message=error.message.format(to=to)), headers)

    def report(self, entry: Entry, happening: str, target: Target) -> Call | None:
        said, token = parameters(entry, happening), target.credentials.get("auth_token")
        return signed_call(entry, said, target.url, token) if said and token else None

    def lookup(self, call: Call, inbox: Inbox) -> Reply | None:
        if call.method != "GET":
            return None
        account, sid = _resource(call)
        entry = inbox.of_provider_id(sid) if sid is not None else None
        if entry is None or entry.headers.get("AccountSid") != account:
            raise Refused(_not_found(call.path))
        return Reply(200, orjson.dumps(_message(entry, created=False)), _CONTENT_TYPE)

    def _submission(self, account: str, form: Form, raw: bytes) -> Submission:
        media_urls = form.get("MediaUrl", [])
        sid = ("MM" if media_urls else "SM") + secrets.token_hex(16)
        to = form["To"][0]
        number = to.removeprefix("whatsapp:")
        own_id = _MESSAGE_ID.search(form.get("StatusCallback", [""])[0])
        entry = Entry(
            provider=self.name,
            channel="whatsapp" if to.startswith("whatsapp:") else "sms",
            message_id=own_id.group() if own_id else None,
            provider_message_id=sid,
            sender=(form.get("From") or form["MessagingServiceSid"])[0],
            to=(number,),
            text=form.get("Body", [None])[0],
            headers={
                "AccountSid": account,
                **{
                    name: ", ".join(values)
                    for name, values in form.items()
                    if name not in ("To", "From", "Body", "MediaUrl")
                },
            },
            media_urls=tuple(media_urls),
        )
        return Submission(sid, (entry,), (number,), raw)


def refusal_of(error: TwilioError, headers: Mapping[str, str] | None = None) -> Reply:
    """Twilio's answer to a request that it does not take."""
    body = {
        "code": error.code,
        "message": error.message,
        "more_info": f"https://www.twilio.com/docs/errors/{error.code}",
        "status": error.status,
    }
    return Reply(error.status, orjson.dumps(body), _CONTENT_TYPE, headers or {})


def _not_found(path: str) -> Reply:
    return refusal_of(TwilioError(20404, f"The requested resource {path} was not found", 404))


def _unauthorized(message: str) -> Reply:
    return refusal_of(TwilioError(20003, message, 401), {"WWW-Authenticate": 'Basic realm="Twilio API"'})


def _resource(call: Call) -> tuple[str, str | None]:
    """The account and message sid of the URL, once the caller has proved to be that account."""
    found = _PATH.match(call.path)
    if found is None:
        raise Refused(_not_found(call.path))
    user, password = _basic(call.headers.get("Authorization"))
    account = found["account"]
    if not password or BAD in password or not _ACCOUNT_SID.match(account):
        raise Refused(_unauthorized("Authenticate"))
    if user != account and not _API_KEY_SID.match(user):
        raise Refused(_unauthorized("Authentication Error - invalid username"))
    return account, found["sid"]


def _basic(authorization: str | None) -> tuple[str, str]:
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        raise Refused(_unauthorized("Authentication Error - No credentials provided"))
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Refused(_unauthorized("Authenticate")) from None
    return user, password


def _form(call: Call) -> Form:
    """The parameters, repeated ones in order. Another content type has no parameters for Twilio, so `To` is missing."""
    form: Form = {}
    if media_type(call.headers.get("Content-Type")) == "application/x-www-form-urlencoded":
        for name, value in parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True):
            form.setdefault(name, []).append(value)
    return form


def _message(entry: Entry, *, created: bool) -> dict[str, Any]:
    """The Message resource. Read back, it is delivered once it had two seconds to travel."""
    account = entry.headers["AccountSid"]
    service = entry.headers.get("MessagingServiceSid")
    received_at = datetime.fromisoformat(entry.received_at)
    delivered = not created and datetime.now(UTC) - received_at > _DELIVERED_AFTER
    scheduled = "SendAt" in entry.headers
    initial = "scheduled" if scheduled else "accepted" if service else "queued"
    date = format_datetime(received_at)
    uri = f"/2010-04-01/Accounts/{account}/Messages/{entry.provider_message_id}.json"
    prefix = "whatsapp:" if entry.channel == "whatsapp" else ""
    return {
        "sid": entry.provider_message_id,
        "account_sid": account,
        "messaging_service_sid": service,
        "status": "delivered" if delivered and not scheduled else initial,
        "body": entry.text or "",
        "from": None if entry.sender == service else entry.sender,
        "to": prefix + entry.to[0],
        "num_segments": "0" if service and created else str(segments(entry.text or "")),
        "num_media": str(len(entry.media_urls)),
        "direction": "outbound-api",
        "price": None,
        "price_unit": "USD",
        "error_code": None,
        "error_message": None,
        "date_created": date,
        "date_sent": date if delivered else None,
        "date_updated": date,
        "api_version": "2010-04-01",
        "uri": uri,
        "subresource_uris": {"media": uri.removesuffix(".json") + "/Media.json"},
    }


PROVIDER: Final = Twilio()
