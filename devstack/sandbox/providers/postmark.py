"""Postmark's Email API: POST /postmark/email, and POST /postmark/email/batch with up to 500 mails.

ErrorCodes and texts are those of postmarkapp.com/developer/api/overview#error-codes. A batch is answered 200 with one
result for each of its mails.
"""

from __future__ import annotations

import base64
import math
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission, Target
from devstack.sandbox.providers.postmark_checks import PostmarkError, check_mail, entry_of
from devstack.sandbox.providers.postmark_events import event_of
from devstack.sandbox.providers.syntax import BAD, media_type

PATH: Final = "/email"
BATCH_PATH: Final = "/email/batch"
MAX_BATCH: Final = 500
MAX_BYTES: Final = {PATH: 10_000_000 * 4 // 3, BATCH_PATH: 50_000_000}
_TEST_TOKEN: Final = "POSTMARK_API_TEST"
_UNAUTHORIZED: Final = PostmarkError(
    10,
    "No Account or Server API tokens were supplied in the HTTP headers. Please add a header for either "
    "X-Postmark-Server-Token or X-Postmark-Account-Token.",
    401,
)
_FAULTS: Final = {
    FaultName.ERROR_500: PostmarkError(0, "Internal Server Error", 500),
    FaultName.ERROR_503: PostmarkError(0, "Service Unavailable", 503),
    FaultName.THROTTLE: PostmarkError(429, "Rate limit exceeded", 429),
    FaultName.BAD_CREDENTIALS: PostmarkError(10, "Request does not contain a valid Server token.", 401),
    FaultName.REJECTED_RECIPIENT: PostmarkError(
        406,
        "You tried to send to recipient(s) that have been marked as inactive. Found inactive addresses: {to}. "
        "Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual suppression.",
    ),
    FaultName.REJECTED_MESSAGE: PostmarkError(300, "Invalid email request: the content is not acceptable."),
}


class Postmark(HttpProvider):
    name = "postmark"
    title = "Postmark"
    endpoint = PATH

    def check(self, call: Call) -> Submission:
        if call.path not in MAX_BYTES:
            raise Refused(Reply(404, b""))
        if call.method != "POST":
            raise Refused(Reply(405, b""))
        token = _token(call)
        content = _parsed(call)
        if call.path == BATCH_PATH:
            submission = _batch(content, call.body)
        else:
            single = _single(content, call.body)
            if isinstance(single, Reply):
                raise Refused(single)
            submission = single
        if token == _TEST_TOKEN:
            for validated in (submission, *submission.parts):
                if isinstance(validated, Submission):
                    validated.entries = ()
        return submission

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        if not submission.parts:
            return Reply(200, orjson.dumps(_taken(submission)))
        items = [orjson.loads(part.body) if isinstance(part, Reply) else _taken(part) for part in submission.parts]
        return Reply(200, orjson.dumps(items))

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        error = _FAULTS[fault.name]
        headers = {} if fault.retry_after is None else {"Retry-After": str(math.ceil(fault.retry_after))}
        return _error(error._replace(message=error.message.format(to=", ".join(submission.recipients))), headers)

    def report(self, entry: Entry, happening: str, target: Target) -> Call | None:
        event = event_of(entry, happening, target.now)
        if event is None:
            return None
        headers = {"Content-Type": "application/json", "User-Agent": "Postmark"}
        credentials = target.credentials
        if credentials.get("webhook_username") and credentials.get("webhook_password"):
            login = f"{credentials['webhook_username']}:{credentials['webhook_password']}"
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        if credentials.get("webhook_secret"):
            headers["X-Hermod-Secret"] = credentials["webhook_secret"]
        return Call("POST", target.url, headers, orjson.dumps(event))


def _token(call: Call) -> str:
    token = call.headers.get("X-Postmark-Server-Token", "")
    if not token:
        raise Refused(_error(_UNAUTHORIZED))
    if BAD in token:
        raise Refused(_error(_FAULTS[FaultName.BAD_CREDENTIALS]))
    return token


def _parsed(call: Call) -> object:
    if len(call.body) > MAX_BYTES[call.path]:
        raise Refused(_error(PostmarkError(300, "Payload Too Large", 413)))
    if media_type(call.headers.get("Content-Type")) != "application/json":
        raise Refused(_error(PostmarkError(409, "The 'Content-Type' header must be application/json.", 415)))
    accept = call.headers.get("Accept") or ""
    if "application/json" not in accept and "*/*" not in accept:
        raise Refused(_error(PostmarkError(409, "The 'Accept' header must allow application/json.")))
    try:
        return orjson.loads(call.body)
    except orjson.JSONDecodeError:
        raise Refused(_error(PostmarkError(402, "Received invalid JSON input."))) from None


def _single(mail: Any, raw: bytes) -> Submission | Reply:
    """The mail, or why it is refused."""
    error = check_mail(mail)
    if error is not None:
        return _error(error)
    provider_id = str(uuid.uuid4())
    entry = entry_of(mail, provider_id)
    return Submission(provider_id, (entry,), entry.to, raw)


def _batch(mails: object, raw: bytes) -> Submission:
    if not isinstance(mails, list) or not mails:
        raise Refused(_error(PostmarkError(403, "Incompatible JSON: a batch is an array of messages.")))
    if len(mails) > MAX_BATCH:
        raise Refused(_error(PostmarkError(410, f"Too many batch messages: {MAX_BATCH} at most.")))
    parts = [_single(mail, raw) for mail in mails]
    taken = [part for part in parts if isinstance(part, Submission)]
    return Submission(
        str(uuid.uuid4()),
        [entry for part in taken for entry in part.entries],
        [address for part in taken for address in part.recipients],
        raw,
        parts=parts,
    )


def _taken(submission: Submission) -> dict[str, Any]:
    return {
        "To": submission.recipients[0],
        "SubmittedAt": datetime.now(UTC).isoformat(),
        "MessageID": submission.provider_id,
        "ErrorCode": 0,
        "Message": "OK",
    }


def _error(error: PostmarkError, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(error.status, orjson.dumps(error.body()), headers=headers or {})


PROVIDER: Final = Postmark()
