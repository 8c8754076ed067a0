"""Resend's emails: POST /resend/emails and, for up to a hundred at once, POST /resend/emails/batch.

Names and texts of errors are those of Resend's list (resend.com/docs/api-reference/errors). A batch is taken as a whole
or not at all; the ids of its emails are made from the first one's, so that a repeat is answered with the same ids.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Attachment, Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission, Target
from devstack.sandbox.providers.resend_checks import Problem, check_batch, check_email, expected_type, listed
from devstack.sandbox.providers.resend_reports import report
from devstack.sandbox.providers.syntax import BAD, bare_address, bearer_token, decoded, media_type

PATH: Final = "/emails"
BATCH_PATH: Final = "/emails/batch"
MAX_KEY: Final = 256
_RATE: Final = {"ratelimit-limit": "2", "ratelimit-remaining": "1", "ratelimit-reset": "1"}
_NO_AGENT: Final = Reply(403, b"error code: 1010", "text/plain; charset=UTF-8")
_MISUSED: Final = Problem(
    409,
    "invalid_idempotent_request",
    "This idempotency key has been used with this HTTP method and endpoint within the last 24 hours, but the request "
    "body was modified and doesn't match the original request.",
)
_FAULTS: Final = {
    FaultName.THROTTLE: Problem(
        429, "rate_limit_exceeded", "Too many requests. You can only make 2 requests per second."
    ),
    FaultName.ERROR_500: Problem(500, "internal_server_error", "An unexpected error occurred."),
    FaultName.ERROR_503: Problem(503, "application_error", "The service is not available at the moment."),
    FaultName.BAD_CREDENTIALS: Problem(403, "invalid_api_key", "API key is invalid"),
    FaultName.REJECTED_RECIPIENT: Problem(422, "validation_error", "Invalid `to` field."),
    FaultName.REJECTED_MESSAGE: Problem(422, "validation_error", "The `html` field cannot be sent."),
}


class Resend(HttpProvider):
    name = "resend"
    title = "Resend"
    endpoint = PATH
    compares_bodies = True

    def check(self, call: Call) -> Submission:
        if call.path not in (PATH, BATCH_PATH):
            raise Refused(_error(Problem(404, "not_found", "The requested endpoint does not exist.")))
        if call.method != "POST":
            raise Refused(_error(Problem(405, "method_not_allowed", "Method is not allowed."), {"Allow": "POST"}))
        _authorize(call)
        key = _key(call)
        body = _parsed(call)
        problem = check_email(body) if call.path == PATH else check_batch(body)
        if problem is None and call.headers.get("x-batch-validation", "strict") != "strict":
            problem = Problem(422, "invalid_parameter", "The sandbox takes strict batches only (x-batch-validation).")
        if problem is not None:
            raise Refused(_error(problem))
        provider_id = str(uuid.uuid4())
        emails = [body] if call.path == PATH else body
        entries = [_entry(email, _id(provider_id, position)) for position, email in enumerate(emails)]
        # A key belongs to its endpoint: the same one at the other endpoint is another key.
        entries[0].idempotency_key = key and f"{call.path} {key}"
        recipients = [address for entry in entries for address in entry.to]
        return ResendSubmission(
            provider_id, entries, recipients, call.body, entries[0].idempotency_key, batch=call.path == BATCH_PATH
        )

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        ids = [{"id": _id(provider_id, position)} for position in range(len(submission.entries))]
        body = {"data": ids} if isinstance(submission, ResendSubmission) and submission.batch else ids[0]
        return Reply(200, orjson.dumps(body), headers=_RATE)

    def key_misused(self) -> Reply:
        return _error(_MISUSED)

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        headers = {}
        if fault.name is FaultName.THROTTLE:
            wait = str(math.ceil(fault.retry_after if fault.retry_after is not None else 1))
            headers = {"ratelimit-remaining": "0", "ratelimit-reset": wait, "retry-after": wait}
        return _error(_FAULTS[fault.name], headers)

    def report(self, entry: Entry, happening: str, target: Target) -> Call | None:
        return report(entry, happening, target)


@dataclass(slots=True)
class ResendSubmission(Submission):
    batch: bool = False
    """It came to the batch endpoint: even a single email is then answered as a list."""


def _id(first: str, position: int) -> str:
    """The id of an email of a batch, by that of the first one."""
    return first if position == 0 else str(uuid.uuid5(uuid.UUID(first), str(position)))


def _error(problem: Problem, headers: Mapping[str, str] | None = None) -> Reply:
    body = {"statusCode": problem.status, "name": problem.name, "message": problem.message}
    return Reply(problem.status, orjson.dumps(body), headers={**_RATE, **(headers or {})})


def _authorize(call: Call) -> None:
    """The gate before the API wants a user agent; then no key and a wrong key are two different errors."""
    if not call.headers.get("User-Agent"):
        raise Refused(_NO_AGENT)
    token = bearer_token(call.headers.get("Authorization"))
    if token is None:
        raise Refused(_error(Problem(401, "missing_api_key", "Missing API Key")))
    if not token.startswith("re_") or BAD in token:
        raise Refused(_error(_FAULTS[FaultName.BAD_CREDENTIALS]))


def _key(call: Call) -> str | None:
    key = call.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        message = f"Idempotency keys, if present, must have between 1 and {MAX_KEY} characters."
        raise Refused(_error(Problem(400, "invalid_idempotency_key", message)))
    return key


def _parsed(call: Call) -> Any:
    if media_type(call.headers.get("Content-Type")) != "application/json":
        raise Refused(_error(Problem(422, "validation_error", "The Content-Type must be application/json.")))
    try:
        return orjson.loads(call.body)
    except orjson.JSONDecodeError:
        raise Refused(_error(Problem(400, "validation_error", "The request body is not valid JSON."))) from None


def _entry(email: dict[str, Any], provider_id: str) -> Entry:
    tags = {tag["name"]: tag["value"] for tag in email.get("tags", ())}
    lines = {line: listed(email.get(line)) for line in ("to", "cc", "bcc", "reply_to")}
    named = (("To", lines["to"]), ("Cc", lines["cc"]), ("Reply-To", lines["reply_to"]))
    shown = {"From": email["from"]} | {name: ", ".join(people) for name, people in named if people}
    return Entry(
        provider=Resend.name,
        channel="email",
        message_id=tags.get("hermod_message_id"),
        provider_message_id=provider_id,
        sender=email["from"],
        to=tuple(bare_address(person) for line in ("to", "cc", "bcc") for person in lines[line]),
        subject=email.get("subject"),
        text=email.get("text"),
        html=email.get("html"),
        headers={**shown, **email.get("headers", {})},
        attachments=tuple(
            Attachment.of(
                item["filename"],
                item.get("content_type") or expected_type(item["filename"]) or "application/octet-stream",
                decoded(item.get("content", "")) or b"",
                item.get("content_id"),
            )
            for item in email.get("attachments", ())
        ),
    )


PROVIDER: Final = Resend()
