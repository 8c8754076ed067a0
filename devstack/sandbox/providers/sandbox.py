"""The sandbox's own API: one JSON request for every channel, with idempotency keys as a modern vendor has them.

    POST /sandbox/v1/messages      Authorization: Bearer <anything>      Idempotency-Key: <up to 255 characters>
    {"id": "msg_…", "channel": "email", "to": "ada@example.com", "from": "…", "content": {…}, "attempt": 1}
    202 {"id": "sbx_…"}            the same, with `idempotent-replayed: true`, for a key that was used before
    401 unauthorized   422 invalid_recipient, invalid_message   429 throttled      {"error": {"code", "message"}}

This is the path that load runs take: it allocates little and checks in one pass.
"""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import orjson

from devstack.sandbox.entry import Attachment, Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission, Target
from devstack.sandbox.providers.sandbox_reports import report
from devstack.sandbox.providers.syntax import (
    BAD,
    bare_address,
    bearer_token,
    decoded,
    is_e164,
    is_email,
    media_type,
)

PATH: Final = "/v1/messages"
MAX_KEY: Final = 255
_REPLAYED: Final = {"idempotent-replayed": "true"}
_WORDS: Final = {
    "email": ("html", "text"),
    "sms": ("body", "media_urls"),
    "whatsapp": ("body", "template"),
    "push": ("title", "body", "data"),
}
"""What a content of each channel needs one of."""
_PLAIN_FIELDS: Final = frozenset(("subject", "title", "text", "body", "html"))
"""Contents of only these, the most of a load, are spared the look for copies, headers, files and media."""
_PLACED_FIELDS: Final = _PLAIN_FIELDS | {"channel", "to", "headers", "attachments", "media_urls"}
_RUN: Final = secrets.token_hex(6)
_numbers: Final = itertools.count(1)
"""Ids are the run and a number: as unique as random ones, and no system call each."""
_ERRORS: Final = {
    FaultName.THROTTLE: (429, "throttled", "Too many requests."),
    FaultName.ERROR_500: (500, "internal_error", "Something went wrong on our side."),
    FaultName.ERROR_503: (503, "unavailable", "The service is not available right now."),
    FaultName.BAD_CREDENTIALS: (401, "unauthorized", "The key is not known."),
    FaultName.REJECTED_RECIPIENT: (422, "invalid_recipient", "The recipient does not exist."),
    FaultName.REJECTED_MESSAGE: (422, "invalid_message", "The message cannot be delivered."),
}


class SandboxProvider(HttpProvider):
    name = "sandbox"
    title = "Sandbox"
    endpoint = PATH

    def check(self, call: Call) -> Submission:
        if call.path != PATH:
            raise Refused(_error(404, "not_found", f"There is nothing at {call.path}."))
        if call.method != "POST":
            raise Refused(_error(405, "method_not_allowed", "Only POST is allowed.", {"Allow": "POST"}))
        token = bearer_token(call.headers.get("Authorization"))
        if token is None or BAD in token:
            raise Refused(_error(401, "unauthorized", "Send a key as Authorization: Bearer <key>."))
        key = call.headers.get("Idempotency-Key")
        if key is not None and not 0 < len(key) <= MAX_KEY:
            _invalid(f"Idempotency-Key must have 1 to {MAX_KEY} characters.")
        message = _parsed(call)
        channel, content = message["channel"], message["content"]
        recipient = _recipient(channel, message.get("to"))
        provider_id = f"sbx_{_RUN}{next(_numbers):012x}"
        entry = Entry(
            provider=self.name,
            channel=channel,
            message_id=message["id"],
            provider_message_id=provider_id,
            sender=message.get("from"),
            to=(recipient,),
            subject=content.get("subject") or content.get("title"),
            text=content.get("text") or content.get("body"),
            html=content.get("html"),
            idempotency_key=key,
        )
        if not content.keys() <= _PLAIN_FIELDS:
            entry.to = (recipient, *_copies(content))
            entry.headers = _headers(content)
            entry.attachments = _attachments(content)
            entry.media_urls = tuple(content.get("media_urls") or ())
        return Submission(provider_id, (entry,), entry.to, call.body, key)

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        body = b'{"id":"%b"}' % provider_id.encode()
        return Reply(202, body, headers=_REPLAYED) if repeated else Reply(202, body)

    def key_misused(self) -> Reply:
        return _error(422, "invalid_message", "This Idempotency-Key was used for another message.")

    def report(self, entry: Entry, happening: str, target: Target) -> Call | None:
        return report(entry, happening, target)

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        status, code, text = _ERRORS[fault.name]
        headers = {} if fault.retry_after is None else {"Retry-After": str(math.ceil(fault.retry_after))}
        return _error(status, code, text, headers)


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps({"error": {"code": code, "message": message}}), headers=headers or {})


def _invalid(message: str) -> NoReturn:
    raise Refused(_error(422, "invalid_message", message))


def _parsed(call: Call) -> dict[str, Any]:
    """The body, with every field but `to` of the right type."""
    if media_type(call.headers.get("Content-Type")) != "application/json":
        _invalid("Content-Type must be application/json.")
    try:
        message = orjson.loads(call.body)
    except orjson.JSONDecodeError:
        _invalid("The body is not JSON.")
    if not isinstance(message, dict):
        _invalid("The body must be an object.")
    if not isinstance(message.get("id"), str) or not message["id"]:
        _invalid("id must be a string of at least one character.")
    if not isinstance(message.get("channel"), str) or message["channel"] not in _WORDS:
        _invalid("channel must be one of " + ", ".join(_WORDS) + ".")
    sender = message.get("from")
    if sender is not None and not isinstance(sender, str):
        _invalid("from must be a string or null.")
    attempt = message.get("attempt")
    if type(attempt) is not int or attempt < 1:
        _invalid("attempt must be an integer from 1 up.")
    content = message.get("content")
    if not isinstance(content, dict):
        _invalid("content must be an object.")
    _check_content(message["channel"], content)
    return message


def _check_content(channel: str, content: dict[str, Any]) -> None:
    for name in ("subject", "text", "html", "title", "body"):
        value = content.get(name)
        if value is not None and not isinstance(value, str):
            _invalid(f"content.{name} must be a string.")
    if not any(content.get(name) for name in _WORDS[channel]):
        _invalid("content must have " + " or ".join(_WORDS[channel]) + ".")
    if channel == "email" and not content.get("subject"):
        _invalid("content.subject must be a string of at least one character.")
    media_urls = content.get("media_urls")
    if media_urls and not all(isinstance(url, str) and url.startswith(("http://", "https://")) for url in media_urls):
        _invalid("content.media_urls must be absolute http or https addresses.")


def _recipient(channel: str, to: object) -> str:
    """The recipient as one string: an address, a number, a push token, or the endpoint of a push subscription."""
    if channel == "email":
        address = bare_address(to) if isinstance(to, str) else None
        if address is not None and is_email(address):
            return address
    elif channel in ("sms", "whatsapp"):
        if isinstance(to, str) and is_e164(to):
            return to
    elif isinstance(to, str) and to:
        return to
    elif isinstance(to, dict) and isinstance(to.get("endpoint"), str):
        return str(to["endpoint"])
    raise Refused(_error(422, "invalid_recipient", f"to is no recipient for {channel}."))


def _copies(content: dict[str, Any]) -> Sequence[str]:
    copies = [*(content.get("cc") or ()), *(content.get("bcc") or ())]
    addresses = [bare_address(copy) if isinstance(copy, str) else "" for copy in copies]
    for address in addresses:
        if not is_email(address):
            raise Refused(_error(422, "invalid_recipient", f"{address!r} in cc or bcc is no email address."))
    return addresses


def _headers(content: dict[str, Any]) -> dict[str, str]:
    """The message's own headers, and the fields that have no place of their own in the inbox."""
    headers = content.get("headers") or {}
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        _invalid("content.headers must be an object of strings.")
    extra = {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in content.items()
        if value and name not in _PLACED_FIELDS
    }
    return {**headers, **extra}


def _attachments(content: dict[str, Any]) -> tuple[Attachment, ...]:
    attachments: list[Attachment] = []
    for position, item in enumerate(content.get("attachments") or ()):
        data = decoded(item.get("content_base64")) if isinstance(item, dict) else None
        if data is None or not isinstance(item.get("filename"), str):
            _invalid(f"content.attachments.{position} needs filename and content_base64.")
        kind = item.get("content_type") or "application/octet-stream"
        attachments.append(Attachment.of(item["filename"], kind, data, item.get("content_id")))
    return tuple(attachments)


PROVIDER: Final = SandboxProvider()
