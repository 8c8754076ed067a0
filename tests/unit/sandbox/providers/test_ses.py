"""The sandbox's SES takes what the vendor takes, and refuses the rest in the vendor's words."""

from __future__ import annotations

import base64
import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.x509 import load_pem_x509_certificate
from httpx import Headers

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.providers.contract import Call, Refused, Reply, Submission, Target
from devstack.sandbox.providers.ses import Ses
from devstack.sandbox.providers.ses_events import CERTIFICATE
from devstack.sandbox.providers.ses_signature import SECRET

PATH = "/v2/email/outbound-emails"
MAIL: dict[str, Any] = {
    "FromEmailAddress": "Hermod <hello@example.com>",
    "Destination": {"ToAddresses": ["Ada <ada@example.com>"], "BccAddresses": ["bcc@example.com"]},
    "ReplyToAddresses": ["reply@example.com"],
    "Content": {
        "Simple": {
            "Subject": {"Data": "Grüße", "Charset": "UTF-8"},
            "Body": {"Text": {"Data": "Hello"}, "Html": {"Data": "<p>Hello</p>", "Charset": "UTF-8"}},
            "Headers": [{"Name": "List-Unsubscribe", "Value": "<https://example.com/u>"}],
            "Attachments": [
                {"FileName": "a.png", "RawContent": "cG5n", "ContentId": "logo", "ContentType": "image/png"}
            ],
        }
    },
    "EmailTags": [{"Name": "hermod_message_id", "Value": "msg_1"}],
    "ConfigurationSetName": "hermod",
}
ENTRY = Entry(
    provider="ses",
    channel="email",
    message_id="msg_1",
    provider_message_id="0100-1",
    sender=None,
    to=("a@example.com",),
)


def signed(body: bytes, *, secret: str = SECRET, service: str = "ses", at: datetime | None = None) -> dict[str, str]:
    """The headers with which botocore would send the body."""
    stamp = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    signer = SigV4Auth(Credentials("AKIDEXAMPLE", secret), service, "us-east-1")
    url = f"http://127.0.0.1:8090/ses{PATH}"
    request = AWSRequest(method="POST", url=url, data=body, headers={"Content-Type": "application/json"})
    request.context["timestamp"] = stamp
    request.headers["X-Amz-Date"] = stamp
    written = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, written), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    scope = f"AKIDEXAMPLE/{stamp[:8]}/us-east-1/{service}/aws4_request"
    return {
        "Content-Type": "application/json",
        "Host": "127.0.0.1:8090",
        "X-Amz-Date": stamp,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}",
    }


def submit(mail: object = MAIL, headers: dict[str, str] | None = None, *, path: str = PATH) -> Submission:
    body = mail if isinstance(mail, bytes) else orjson.dumps(mail)
    return Ses().check(Call("POST", path, Headers(headers or signed(body)), body))


def read(reply: Reply) -> tuple[int, str, str]:
    kind = reply.headers["x-amzn-ErrorType"].partition(":")[0]
    return reply.status, kind, orjson.loads(reply.body)["message"]


def refused(*arguments: Any, **options: Any) -> tuple[int, str, str]:
    with pytest.raises(Refused) as refusal:
        submit(*arguments, **options)
    return read(refusal.value.reply)


def changed(path: str, value: object) -> dict[str, Any]:
    """MAIL with one place changed; `...` removes it."""
    mail = copy.deepcopy(MAIL)
    place: Any = mail
    *way, last = path.split(".")
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return mail


def raw(message: str) -> dict[str, Any]:
    return {**MAIL, "Content": {"Raw": {"Data": base64.b64encode(message.encode()).decode()}}}


def test_mail_is_taken_as_it_was_meant() -> None:
    submission = submit()
    (entry,) = submission.entries
    assert submission.recipients == ("ada@example.com", "bcc@example.com")
    assert (entry.message_id, entry.subject, entry.text, entry.html) == ("msg_1", "Grüße", "Hello", "<p>Hello</p>")
    assert entry.headers == {
        "From": "Hermod <hello@example.com>",
        "To": "Ada <ada@example.com>",
        "Reply-To": "reply@example.com",
        "List-Unsubscribe": "<https://example.com/u>",
    }
    assert [(file.filename, file.content_id, file.content) for file in entry.attachments] == [("a.png", "logo", b"png")]
    answer = Ses().accepted(submission, submission.provider_id, repeated=False)
    assert (answer.status, orjson.loads(answer.body)) == (200, {"MessageId": entry.provider_message_id})


def test_finished_message_is_taken_apart() -> None:
    message = "From: hello@example.com\r\nTo: ada@example.com\r\nSubject: Hi\r\n\r\nHello\r\n"
    (entry,) = submit(raw(message)).entries
    assert (entry.message_id, entry.subject, entry.text) == ("msg_1", "Hi", "Hello\n")
    assert entry.to == ("ada@example.com", "bcc@example.com")


@pytest.mark.parametrize(
    "mail",
    [
        changed("FromEmailAddress", ...),
        changed("FromEmailAddress", "Zoë <zoe@example.com>"),
        changed("Destination", ...),
        changed("Destination", {}),
        changed("Destination", {"ToAddresses": []}),
        changed("Destination", {"ToAddresses": "ada@example.com"}),
        changed("Destination", {"ToAddresses": ["ada"]}),
        changed("Destination", {"ToAddresses": [f"{n}@example.com" for n in range(51)]}),
        changed("Destination", {"To": ["ada@example.com"]}),
        changed("ReplyToAddresses", ["nobody"]),
        changed("Content", ...),
        changed("Content", {"Simple": MAIL["Content"]["Simple"], "Raw": {"Data": "aGk="}}),
        changed("Content.Simple.Subject", ...),
        changed("Content.Simple.Subject", {"Data": "Grüße"}),
        changed("Content.Simple.Subject", "Hi"),
        changed("Content.Simple.Body", {}),
        changed("Content.Simple.Body", {"text": {"Data": "Hi"}}),
        changed("Content.Simple.Headers", [{"Name": f"X-{n}", "Value": "1"} for n in range(16)]),
        changed("Content.Simple.Headers", [{"Name": "X-Note", "Value": "Grüße"}]),
        changed("Content.Simple.Headers", [{"Name": "X-Note", "Value": "a" * 996}]),
        changed("Content.Simple.Headers", [{"Name": "X Note", "Value": "1"}]),
        changed("Content.Simple.Attachments", [{"FileName": "a.png", "RawContent": "not base64"}]),
        changed("Content.Simple.Attachments", [{"RawContent": "cG5n"}]),
        changed(
            "Content.Simple.Attachments", [{"FileName": "a", "RawContent": "cG5n", "ContentDisposition": "inline"}]
        ),
        changed("EmailTags", [{"Name": "hermod message", "Value": "msg_1"}]),
        changed("EmailTags", [{"Name": "a", "Value": "msg/1"}]),
        changed("ConfigurationSetName", "my set"),
        changed("Subject", "Hi"),
        raw("To: ada@example.com\r\n\r\nno sender"),
        raw("From: a@example.com\r\nBcc: b@example.com\r\n\r\nhidden"),
        raw("From: a@example.com\r\n\r\n" + "a" * 1001),
        raw("From: a@example.com\r\n\r\nGrüße"),
        changed("Content", {"Raw": {"Data": "not base64"}}),
    ],
)
def test_mail_that_ses_would_not_take_is_a_bad_request(mail: dict[str, Any]) -> None:
    status, kind, message = refused(mail)
    assert (status, kind) == (400, "BadRequestException")
    assert message


def test_body_that_is_no_json_cannot_be_read() -> None:
    assert refused(b"{")[:2] == (400, "SerializationException")
    assert refused(b"[]")[:2] == (400, "SerializationException")


def test_request_to_another_path_is_unknown() -> None:
    assert refused(path="/v2/email/outbound-bulk-emails")[:2] == (404, "UnknownOperationException")


BODY = orjson.dumps(MAIL)
NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        (signed(BODY, secret="another"), 403, "InvalidSignatureException"),
        (signed(BODY, service="email"), 403, "InvalidSignatureException"),
        (signed(BODY + b" "), 403, "InvalidSignatureException"),
        (signed(BODY) | {"Host": "127.0.0.1:8091"}, 403, "InvalidSignatureException"),
        (signed(BODY) | {"X-Amz-Security-Token": "unsigned"}, 403, "InvalidSignatureException"),
        (signed(BODY) | {"X-Amz-Security-Token": "bad"}, 403, "UnrecognizedClientException"),
        (signed(BODY, at=NOW - timedelta(minutes=30)), 403, "InvalidSignatureException"),
        (signed(BODY) | {"X-Amz-Date": "20000101T000000Z"}, 403, "InvalidSignatureException"),
        (signed(BODY) | {"X-Amz-Date": "now"}, 400, "IncompleteSignatureException"),
        (signed(BODY) | {"Authorization": "Bearer key"}, 403, "IncompleteSignatureException"),
        ({"Content-Type": "application/json"}, 403, "MissingAuthenticationTokenException"),
    ],
)
def test_request_that_is_not_signed_right_is_refused(headers: dict[str, str], status: int, kind: str) -> None:
    assert refused(MAIL, headers)[:2] == (status, kind)


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (FaultName.THROTTLE, 429, "TooManyRequestsException"),
        (FaultName.ERROR_500, 500, "InternalServiceErrorException"),
        (FaultName.ERROR_503, 503, "ServiceUnavailable"),
        (FaultName.BAD_CREDENTIALS, 403, "UnrecognizedClientException"),
        (FaultName.REJECTED_RECIPIENT, 400, "BadRequestException"),
        (FaultName.REJECTED_MESSAGE, 400, "MessageRejected"),
    ],
)
def test_fault_is_worded_as_ses_does(fault: FaultName, status: int, kind: str) -> None:
    reply = Ses().refusal(Fault(fault, retry_after=6.5), submit())
    assert read(reply)[:2] == (status, kind)
    assert reply.headers["Retry-After"] == "7"


def test_certificate_lies_where_reports_point_to() -> None:
    target = Target("https://hermod.example.com/r", {}, NOW, "http://127.0.0.1:8090")
    call = Ses().report(ENTRY, "delivered", target)
    assert call is not None
    url = orjson.loads(call.body)["SigningCertURL"]
    assert url == f"http://127.0.0.1:8090/ses{CERTIFICATE}"
    found = Ses().lookup(Call("GET", CERTIFICATE, {}, b""), Inbox())
    assert found is not None
    assert load_pem_x509_certificate(found.body).subject.rfc4514_string() == "CN=sns.sandbox.invalid"


def test_subscription_can_be_confirmed_here() -> None:
    found = Ses().lookup(Call("GET", "/", {}, b""), Inbox())
    assert found is not None
    assert b"ConfirmSubscriptionResponse" in found.body


def test_report_of_what_ses_never_tells_is_none() -> None:
    assert Ses().report(ENTRY, "unregistered", Target("https://hermod.example.com/r", {}, NOW)) is None
