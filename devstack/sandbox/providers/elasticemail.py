"""Elastic Email's transactional send: POST /elasticemail/v4/emails/transactional.

Errors are one sentence in `Error`, nearly all of them with status 400, a wrong key included.
"""

from __future__ import annotations

import math
import re
import secrets
import uuid
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Attachment, Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission, Target
from devstack.sandbox.providers.elasticemail_checks import Problem, check_email
from devstack.sandbox.providers.elasticemail_reports import report
from devstack.sandbox.providers.syntax import BAD, bare_address, decoded, media_type

PATH: Final = "/v4/emails/transactional"
MAX_KEY: Final = 255
TRANSACTION: Final = "TransactionID"
"""Where an entry keeps the id of its transaction, among its headers."""
_REPLAYED: Final = {"Idempotency-Replayed": "true"}
_NO_KEY: Final = Problem(400, "APIKey Expired")
_FAULTS: Final = {
    FaultName.THROTTLE: Problem(429, "Too many concurrent connections."),
    FaultName.ERROR_500: Problem(500, "Unexpected error."),
    FaultName.ERROR_503: Problem(503, "Service unavailable."),
    FaultName.BAD_CREDENTIALS: _NO_KEY,
    FaultName.REJECTED_RECIPIENT: Problem(400, "One of the recipients is not a valid email address."),
    FaultName.REJECTED_MESSAGE: Problem(400, "The message cannot be sent."),
}


class ElasticEmail(HttpProvider):
    name = "elasticemail"
    title = "Elastic Email"
    endpoint = PATH
    compares_bodies = True

    def check(self, call: Call) -> Submission:
        if call.path != PATH or call.method != "POST":
            raise Refused(_error(Problem(404, "Not found.")))
        api_key = call.headers.get("X-ElasticEmail-ApiKey")
        if not api_key or BAD in api_key:
            raise Refused(_error(_NO_KEY))
        key = call.headers.get("Idempotency-Key")
        if key is not None and not 0 < len(key) <= MAX_KEY:
            raise Refused(_error(Problem(400, f"Idempotency-Key must have 1 to {MAX_KEY} characters.")))
        email = _parsed(call)
        problem = check_email(email, len(call.body))
        if problem is not None:
            raise Refused(_error(problem))
        entry = _entry(email, secrets.token_urlsafe(16))
        entry.idempotency_key = key
        return Submission(entry.provider_message_id, (entry,), entry.to, call.body, key)

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        body = {TRANSACTION: _transaction(provider_id), "MessageID": provider_id}
        return Reply(200, orjson.dumps(body), headers=_REPLAYED if repeated else {})

    def key_misused(self) -> Reply:
        return _error(Problem(422, "The Idempotency-Key was used with a different request body."))

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        reply = _error(_FAULTS[fault.name])
        if fault.retry_after is None:
            return reply
        return reply._replace(headers={"Retry-After": str(math.ceil(fault.retry_after))})

    def report(self, entry: Entry, happening: str, target: Target) -> Call | None:
        return report(entry, happening, target)


def _error(problem: Problem) -> Reply:
    return Reply(problem.status, orjson.dumps({"Error": problem.message}))


def _parsed(call: Call) -> Any:
    if media_type(call.headers.get("Content-Type")) != "application/json":
        raise Refused(_error(Problem(400, "The Content-Type must be application/json.")))
    try:
        return orjson.loads(call.body)
    except orjson.JSONDecodeError:
        raise Refused(_error(Problem(400, "The request is not JSON."))) from None


def _transaction(provider_id: str) -> str:
    """The id of the transaction that a message belongs to."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, provider_id))


def _entry(email: dict[str, Any], provider_id: str) -> Entry:
    content, recipients = email["Content"], email["Recipients"]
    words = {part["ContentType"]: part["Content"] for part in content.get("Body", ())}
    named = (("To", recipients["To"]), ("Cc", recipients.get("CC")), ("Reply-To", [content.get("ReplyTo")]))
    shown = {"From": content["From"]} | {name: ", ".join(people) for name, people in named if people and people[0]}
    own_id = content.get("Postback", "")
    return Entry(
        provider=ElasticEmail.name,
        channel="email",
        message_id=own_id if own_id.startswith("msg_") else None,
        provider_message_id=provider_id,
        sender=content["From"],
        to=tuple(bare_address(person) for line in ("To", "CC", "BCC") for person in recipients.get(line, ())),
        subject=content.get("Subject"),
        text=words.get("PlainText"),
        html=words.get("HTML"),
        headers={**shown, **content.get("Headers", {}), TRANSACTION: _transaction(provider_id)},
        attachments=tuple(_attachment(item, words.get("HTML", "")) for item in content.get("Attachments", ())),
    )


def _attachment(item: dict[str, Any], html: str) -> Attachment:
    """A file's content id is its name, to the letter, where the HTML shows it."""
    name = item["Name"]
    shown = re.search(rf"cid:{re.escape(name)}(?![\w.@+-])", html) is not None
    kind = item.get("ContentType") or "application/octet-stream"
    return Attachment.of(name, kind, decoded(item["BinaryContent"]) or b"", name if shown else None)


PROVIDER: Final = ElasticEmail()
