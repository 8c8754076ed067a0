"""SendGrid's v3 mail send: POST /sendgrid/v3/mail/send.

Messages and fields are those of SendGrid's own list (twilio.com/docs/sendgrid/api-reference/mail-send/errors); every
fault of a request is reported, as SendGrid does. Where the list is silent the sandbox is the stricter one: a name that
the API does not have is a Bad Request here, because in an adapter it is a typing mistake.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Attachment, Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission, Target
from devstack.sandbox.providers.sendgrid_checks import check_mail
from devstack.sandbox.providers.sendgrid_reports import report
from devstack.sandbox.providers.syntax import BAD, bearer_token, decoded, media_type

PATH: Final = "/v3/mail/send"
MAX_BYTES: Final = 30 * 1024 * 1024
_TOO_LARGE: Final = (
    b"<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n"
    b"<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_ERRORS: Final = {
    FaultName.THROTTLE: (429, "too many requests", None),
    FaultName.ERROR_500: (500, "Internal Server Error", None),
    FaultName.ERROR_503: (503, "Service Unavailable", None),
    FaultName.BAD_CREDENTIALS: (401, "The provided authorization grant is invalid, expired, or revoked", None),
    FaultName.REJECTED_RECIPIENT: (400, "Does not contain a valid address.", "personalizations.0.to.0.email"),
    FaultName.REJECTED_MESSAGE: (
        400,
        "The content value must be a string at least one character in length.",
        "content.0.value",
    ),
}


class SendGrid(HttpProvider):
    name = "sendgrid"
    title = "SendGrid"
    endpoint = PATH

    def check(self, call: Call) -> Submission:
        if call.path != PATH:
            raise Refused(_errors(404, [("Resource not found", None)]))
        if call.method != "POST":
            raise Refused(_errors(405, [("POST method allowed only", None)], {"Allow": "POST"}))
        _authorize(call)
        _negotiate(call)
        mail = _parsed(call.body)
        problems = check_mail(mail, now=time.time())
        if problems:
            raise Refused(_errors(400, problems))
        return self._submission(mail, call.body)

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        if not submission.entries:
            return Reply(200, content_type=None)
        return Reply(202, content_type=None, headers={"X-Message-Id": provider_id})

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        status, message, field = _ERRORS[fault.name]
        headers = {} if fault.retry_after is None else {"Retry-After": str(math.ceil(fault.retry_after))}
        if fault.name is FaultName.THROTTLE:
            reset = math.ceil(time.time() + (fault.retry_after if fault.retry_after is not None else 1))
            headers |= {"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
        return _errors(status, [(message, field)], headers)

    def report(self, entry: Entry, happening: str, target: Target) -> Call | None:
        return report(entry, happening, target)

    def _submission(self, mail: dict[str, Any], raw: bytes) -> Submission:
        provider_id = secrets.token_urlsafe(16)
        entries = [
            _entry(self.name, provider_id, mail, personalization) for personalization in mail["personalizations"]
        ]
        recipients = [address for entry in entries for address in entry.to]
        if mail.get("mail_settings", {}).get("sandbox_mode", {}).get("enable") is True:
            entries = []
        return Submission(provider_id, entries, recipients, raw)


def _errors(status: int, problems: list[tuple[str, str | None]], headers: Mapping[str, str] | None = None) -> Reply:
    body = {"errors": [{"message": message, "field": field, "help": _help(field)} for message, field in problems]}
    return Reply(status, orjson.dumps(body), headers=headers or {})


def _help(field: str | None) -> str | None:
    if field is None:
        return None
    anchor = ".".join(part for part in field.split(".") if not part.isdigit())
    return f"http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#message.{anchor}"


def _authorize(call: Call) -> None:
    """No header and a wrong key are two different sentences at SendGrid."""
    token = bearer_token(call.headers.get("Authorization"))
    if token is None:
        raise Refused(_errors(401, [("Permission denied, wrong credentials", None)]))
    if not token.startswith("SG.") or len(token) < 5 or BAD in token:
        raise Refused(_errors(401, [("The provided authorization grant is invalid, expired, or revoked", None)]))


def _negotiate(call: Call) -> None:
    if len(call.body) > MAX_BYTES:
        raise Refused(Reply(413, _TOO_LARGE, "text/html"))
    accept = call.headers.get("Accept") or ""
    if not any(kind in accept for kind in ("application/json", "application/*", "*/*")):
        raise Refused(_errors(406, [("The Accept header must allow application/json.", None)]))
    if media_type(call.headers.get("Content-Type")) != "application/json":
        raise Refused(_errors(415, [("Content-Type should be application/json.", None)]))


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(_errors(415, [("Invalid UTF8 in request", None)])) from None
    try:
        mail = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(_errors(400, [("Bad Request", None)])) from None
    if not isinstance(mail, dict):
        raise Refused(_errors(400, [("Bad Request", None)]))
    return mail


def _entry(provider: str, provider_id: str, mail: dict[str, Any], personalization: dict[str, Any]) -> Entry:
    arguments = {**mail.get("custom_args", {}), **personalization.get("custom_args", {})}
    content = {part["type"].lower(): part["value"] for part in mail.get("content") or ()}
    envelope = tuple(person["email"] for line in ("to", "cc", "bcc") for person in personalization.get(line, ()))
    return Entry(
        provider=provider,
        channel="email",
        message_id=arguments.get("hermod_message_id"),
        provider_message_id=provider_id,
        sender=_written(personalization.get("from") or mail["from"]),
        to=envelope,
        subject=personalization.get("subject") or mail.get("subject"),
        text=content.get("text/plain"),
        html=content.get("text/html"),
        headers=_headers(mail, personalization),
        attachments=_attachments(mail),
    )


def _headers(mail: dict[str, Any], personalization: dict[str, Any]) -> dict[str, str]:
    """The lines that the recipient would see, then the sender's own."""
    shown = {"From": _written(personalization.get("from") or mail["from"])}
    for name, people in (
        ("To", personalization["to"]),
        ("Cc", personalization.get("cc")),
        ("Reply-To", [mail["reply_to"]] if "reply_to" in mail else mail.get("reply_to_list")),
    ):
        if people:
            shown[name] = ", ".join(_written(person) for person in people)
    return {**shown, **mail.get("headers", {}), **personalization.get("headers", {})}


def _written(person: dict[str, Any]) -> str:
    name = person.get("name")
    return f"{name} <{person['email']}>" if name else str(person["email"])


def _attachments(mail: dict[str, Any]) -> tuple[Attachment, ...]:
    return tuple(
        Attachment.of(
            item["filename"],
            item.get("type") or "application/octet-stream",
            decoded(item["content"]) or b"",
            item.get("content_id"),
        )
        for item in mail.get("attachments", ())
    )


PROVIDER: Final = SendGrid()
