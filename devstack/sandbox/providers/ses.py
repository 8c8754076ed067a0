"""Amazon SES, API v2: POST /ses/v2/email/outbound-emails, and the certificate of its SNS topic.

An account here has the secret access key of AWS's documentation (`ses_signature.SECRET`), and any access key id: a
signature can only be checked by somebody who knows the secret.
"""

from __future__ import annotations

import math
import secrets
import uuid
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission, Target
from devstack.sandbox.providers.ses_checks import MAX_BYTES, BadRequest, read_mail
from devstack.sandbox.providers.ses_events import CERTIFICATE, event_of, notification
from devstack.sandbox.providers.ses_signature import Unsigned, certificate, check_signature
from devstack.sandbox.providers.syntax import media_type

PATH: Final = "/v2/email/outbound-emails"
_CONFIRMED: Final = (
    b'<ConfirmSubscriptionResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ConfirmSubscriptionResult>'
    b"<SubscriptionArn>arn:aws:sns:us-east-1:123456789012:hermod:1</SubscriptionArn></ConfirmSubscriptionResult>"
    b"</ConfirmSubscriptionResponse>"
)
_ERRORS: Final = {
    FaultName.THROTTLE: (429, "TooManyRequestsException", "Maximum sending rate exceeded."),
    FaultName.ERROR_500: (500, "InternalServiceErrorException", "An internal error occurred."),
    FaultName.ERROR_503: (503, "ServiceUnavailable", "Service is unable to handle request."),
    FaultName.BAD_CREDENTIALS: (
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
    FaultName.REJECTED_RECIPIENT: (400, "BadRequestException", "Illegal address"),
    FaultName.REJECTED_MESSAGE: (400, "MessageRejected", "Message content is not acceptable."),
}


class Ses(HttpProvider):
    name = "ses"
    title = "Amazon SES"
    endpoint = PATH

    def check(self, call: Call) -> Submission:
        if call.path != PATH or call.method != "POST":
            raise Refused(_error(404, "UnknownOperationException", "Unknown operation"))
        try:
            check_signature(call, f"/{self.name}{call.path}", datetime.now(UTC))
        except Unsigned as reason:
            raise Refused(_error(reason.status, reason.kind, reason.message)) from None
        mail = _parsed(call)
        provider_id = f"0100{secrets.token_hex(6)}-{uuid.uuid4()}-000000"
        try:
            entry = read_mail(mail, provider_id)
        except BadRequest as reason:
            raise Refused(_error(400, "BadRequestException", str(reason))) from None
        return Submission(provider_id, (entry,), entry.to, call.body)

    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        return Reply(200, orjson.dumps({"MessageId": provider_id}))

    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        reply = _error(*_ERRORS[fault.name])
        if fault.retry_after is None:
            return reply
        return reply._replace(headers={**reply.headers, "Retry-After": str(math.ceil(fault.retry_after))})

    def report(self, entry: Entry, happening: str, target: Target) -> Call | None:
        event = event_of(entry, happening, target.now)
        if event is None:
            return None
        identity = f"{entry.provider_message_id}/{happening}/{target.now.isoformat()}"
        return notification(orjson.dumps(event).decode(), target, identity=identity)

    def lookup(self, call: Call, inbox: Inbox) -> Reply | None:
        """SNS's side: the certificate, and the address that confirms a subscription."""
        if call.method == "GET" and call.path == CERTIFICATE:
            return Reply(200, certificate(), "application/octet-stream")
        if call.method == "GET" and call.path == "/":
            return Reply(200, _CONFIRMED, "text/xml")
        return None


def _error(status: int, kind: str, message: str) -> Reply:
    body = orjson.dumps({"message": message})
    return Reply(status, body, headers={"x-amzn-ErrorType": f"{kind}:http://internal.amazon.com/coral/{kind}"})


def _parsed(call: Call) -> dict[str, Any]:
    if len(call.body) > MAX_BYTES:
        raise Refused(_error(413, "RequestEntityTooLargeException", "Request entity is too large."))
    if media_type(call.headers.get("Content-Type")) != "application/json":
        raise Refused(_error(415, "UnsupportedMediaTypeException", "The content type is not application/json."))
    try:
        mail = orjson.loads(call.body)
    except orjson.JSONDecodeError:
        mail = None
    if not isinstance(mail, dict):
        raise Refused(_error(400, "SerializationException", "The request body is not a JSON object."))
    return mail


PROVIDER: Final = Ses()
