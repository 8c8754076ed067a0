"""Amazon SES: the request's shape, and every row of how its answers are read."""

from __future__ import annotations

import base64
import email as stdlib
from email.policy import default
from typing import Any

import orjson
import pytest

from hermod.channels.email.ses.codes import MEANINGS, Meaning
from hermod.channels.email.ses.sender import SesSender
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, Throttled
from hermod.outbound.addresses.guard import AddressGuard
from tests.unit.channels.samples import CREDENTIALS, account, email, file, outgoing, reply, sms, wiring

OUTCOMES = {
    Meaning.MESSAGE: Outcome.MESSAGE_REJECTED,
    Meaning.SENDER: Outcome.ACCOUNT_HALTED,
    Meaning.ACCOUNT: Outcome.ACCOUNT_HALTED,
    Meaning.THROTTLED: Outcome.THROTTLED,
}


def sender(**changes: Any) -> SesSender:
    return SesSender(account("ses", **changes), wiring())


def mail(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(sender().request(outgoing(email(**changes))).content)
    return body


def raw(body: dict[str, Any]) -> Any:
    return stdlib.message_from_bytes(base64.b64decode(body["Content"]["Raw"]["Data"]), policy=default)


def credentials(**changes: str | None) -> dict[str, str]:
    merged: dict[str, str | None] = {**CREDENTIALS["ses"], **changes}
    return {name: value for name, value in merged.items() if value is not None}


def test_request_is_what_ses_documents() -> None:
    request = sender().request(outgoing(email(html="<p>Hi</p>"), request_id="req_1"))
    assert request.method == "POST"
    assert str(request.url) == "https://email.us-east-1.amazonaws.com/v2/email/outbound-emails"
    headers = dict(request.headers)
    authorization = headers.pop("authorization")
    assert authorization.startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/ses/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, Signature="
    )
    assert headers == {
        "content-type": "application/json",
        "x-amz-date": "20261122T120000Z",
        "x-request-id": "req_1",
    }
    assert orjson.loads(request.content) == {
        "FromEmailAddress": "News <news@example.com>",
        "Destination": {"ToAddresses": ["ada@example.com"]},
        "Content": {
            "Simple": {
                "Subject": {"Data": "Hello", "Charset": "UTF-8"},
                "Body": {
                    "Text": {"Data": "Hi Ada", "Charset": "UTF-8"},
                    "Html": {"Data": "<p>Hi</p>", "Charset": "UTF-8"},
                },
            }
        },
        "EmailTags": [{"Name": "hermod_message_id", "Value": "msg_1"}],
        "ConfigurationSetName": "hermod",
    }


def test_request_goes_to_the_account_base_url_and_signs_its_host_and_path() -> None:
    there = sender(base_url="https://proxy.example.com/ses/").request(outgoing(email()))
    elsewhere = sender(base_url="https://other.example.com/ses").request(outgoing(email()))
    assert str(there.url) == "https://proxy.example.com/ses/v2/email/outbound-emails"
    assert there.headers["authorization"] != elsewhere.headers["authorization"]


def test_request_goes_to_the_region_of_the_account() -> None:
    request = sender(credentials=credentials(region="eu-central-1")).request(outgoing(email()))
    assert request.url.host == "email.eu-central-1.amazonaws.com"
    assert "/eu-central-1/ses/" in request.headers["authorization"]


def test_request_with_temporary_credentials_carries_and_signs_their_token() -> None:
    request = sender(credentials=credentials(session_token="FwoGZXIvYXdz")).request(outgoing(email()))
    assert request.headers["x-amz-security-token"] == "FwoGZXIvYXdz"
    assert "host;x-amz-date;x-amz-security-token," in request.headers["authorization"]


def test_request_without_configuration_set_names_none() -> None:
    request = sender(credentials=credentials(configuration_set=None)).request(outgoing(email()))
    assert "ConfigurationSetName" not in orjson.loads(request.content)


def test_request_names_of_other_scripts_are_encoded_words() -> None:
    body = mail(to="Zoë Müller <zoe@bücher.example>", reply_to="Büro <office@example.com>", html="<p>ü</p>", text=None)
    assert body["Destination"] == {"ToAddresses": ["=?utf-8?b?Wm/DqyBNw7xsbGVy?= <zoe@xn--bcher-kva.example>"]}
    assert body["ReplyToAddresses"] == ["=?utf-8?b?QsO8cm8=?= <office@example.com>"]
    assert body["Content"]["Simple"]["Body"] == {"Html": {"Data": "<p>ü</p>", "Charset": "UTF-8"}}


def test_request_nobody_gets_it_twice() -> None:
    body = mail(cc=["bob@example.com", "ADA@example.com"], bcc=["Bob <BOB@example.com>", "carl@example.com"])
    assert body["Destination"] == {
        "ToAddresses": ["ada@example.com"],
        "CcAddresses": ["bob@example.com"],
        "BccAddresses": ["carl@example.com"],
    }


def test_request_carries_headers() -> None:
    body = mail(headers={"List-Unsubscribe": "<https://example.com/u/1>"})
    assert body["Content"]["Simple"]["Headers"] == [{"Name": "List-Unsubscribe", "Value": "<https://example.com/u/1>"}]


def test_request_with_files_is_a_finished_message() -> None:
    body = mail(
        to="Zoë <zoe@example.com>",
        bcc=["carl@example.com"],
        html='<img src="cid:logo">',
        reply_to="office@example.com",
        attachments=[file(), file("logo.png", "image/png", b"png", "logo")],
    )
    assert body.keys() == {"Destination", "Content", "EmailTags", "ConfigurationSetName"}
    assert body["Destination"] == {"ToAddresses": ["zoe@example.com"], "BccAddresses": ["carl@example.com"]}
    message = raw(body)
    assert (message["From"], message["To"], message["Reply-To"], message["Bcc"]) == (
        "News <news@example.com>",
        "Zoë <zoe@example.com>",
        "office@example.com",
        None,
    )
    kinds = [(part.get_content_type(), part["Content-ID"]) for part in message.walk() if not part.is_multipart()]
    assert kinds == [("text/plain", None), ("text/html", None), ("image/png", "<logo>"), ("application/pdf", None)]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Note": "Grüße"},
        {"X-Long": "a" * 996},
        {"X-" + "a" * 125: "1"},
        {"X-Empty": ""},
        {f"X-{number}": "1" for number in range(16)},
    ],
)
def test_request_with_headers_that_ses_takes_in_a_message_only_is_one(headers: dict[str, str]) -> None:
    message = raw(mail(headers=headers))
    assert {name: message[name] for name in headers} == headers


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (sms(), "email only"),
        (email(to="zoë@example.com"), "before the @"),
        (email(reply_to="büro@example.com"), "before the @"),
        (email(cc=[f"{n}@example.com" for n in range(50)]), "50 recipients at most, and the message has 51"),
        (email(bcc=[f"{n}@example.com" for n in range(49)]), None),
        (email(cc=[f"{n}@example.com" for n in range(49)] + ["ada@example.com"]), None),
        (email(attachments=[file(data=b"x" * 9_000_000)]), None),
    ],
)
def test_content_that_ses_cannot_carry_is_named(content: Any, says: str | None) -> None:
    fault = sender().cannot_express(content)
    assert (says in (fault or "")) if says else fault is None


def test_content_without_any_sender_is_named() -> None:
    assert "from" in (sender(from_=None).cannot_express(email()) or "")
    assert sender(from_=None).cannot_express(email(from_="me@example.com")) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("region", "frankfurt"),
        ("region", "us-east-1.evil.example/"),
        ("topic_arn", "arn:aws:sqs:us-east-1:123456789012:hermod"),
        ("topic_arn", "hermod"),
        ("configuration_set", "my set"),
    ],
)
def test_settings_that_ses_could_not_have_are_named(name: str, value: str) -> None:
    (fault,) = SesSender.check(credentials(**{name: value}), None, AddressGuard())
    assert isinstance(fault, FieldError)
    assert fault.field == f"credentials.{name}"


@pytest.mark.parametrize(
    "topic", ["arn:aws:sns:eu-central-1:123456789012:mail", "arn:aws-cn:sns:cn-north-1:123456789012:m_a-il"]
)
def test_settings_topic_of_any_partition_fits(topic: str) -> None:
    assert list(SesSender.check(credentials(topic_arn=topic), None, AddressGuard())) == []


def test_outcome_success_is_accepted_with_its_id() -> None:
    outcome = sender().outcome(reply(200, {"MessageId": "0100018f-1"}), outgoing(email()))
    assert outcome == Accepted(status_code=200, provider_id="0100018f-1")


def test_outcome_success_that_cannot_be_read_is_accepted_without_id() -> None:
    assert sender().outcome(reply(200, b'{"Messa'), outgoing(email())) == Accepted(status_code=200)


@pytest.mark.parametrize("code", sorted(MEANINGS))
@pytest.mark.parametrize("form", ["{}", "{}:http://internal.amazon.com/coral/", "com.amazonaws.sesv2#{}"])
def test_outcome_error_is_read_by_its_type(code: str, form: str) -> None:
    answer = reply(400, {"message": "no"}, x_amzn_errortype=form.format(code))
    outcome = sender().outcome(answer, outgoing(email()))
    assert (outcome.kind, outcome.status_code, outcome.error_code) == (OUTCOMES[MEANINGS[code]], 400, code)
    assert outcome.error == "no"


@pytest.mark.parametrize("key", ["code", "__type"])
def test_outcome_error_type_may_stand_in_the_body(key: str) -> None:
    answer = reply(400, {key: "com.amazonaws#ThrottlingException", "Message": "slow down"})
    outcome = sender().outcome(answer, outgoing(email()))
    assert (outcome.kind, outcome.error_code, outcome.error) == (Outcome.THROTTLED, "ThrottlingException", "slow down")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "SomethingNewException", Outcome.MESSAGE_REJECTED),
        (400, None, Outcome.MESSAGE_REJECTED),
        (403, "SomethingNewException", Outcome.ACCOUNT_HALTED),
        (404, "NotFoundException", Outcome.ACCOUNT_HALTED),
        (413, None, Outcome.MESSAGE_REJECTED),
        (429, None, Outcome.THROTTLED),
        (408, "RequestTimeoutException", Outcome.UNKNOWN),
        (500, "InternalServiceErrorException", Outcome.UNKNOWN),
        (503, "Throttling", Outcome.UNKNOWN),
        (504, None, Outcome.UNKNOWN),
    ],
)
def test_outcome_other_errors_are_read_by_status(status: int, code: str | None, kind: Outcome) -> None:
    headers = {"x_amzn_errortype": code} if code else {}
    outcome = sender().outcome(reply(status, {"message": "no"}, **headers), outgoing(email()))
    assert (outcome.kind, outcome.error_code) == (kind, code)


def test_outcome_refused_sender_of_the_message_spares_the_account() -> None:
    answer = reply(400, {"message": "no"}, x_amzn_errortype="MailFromDomainNotVerifiedException")
    assert sender().outcome(answer, outgoing(email(from_="me@example.com"))).kind is Outcome.MESSAGE_REJECTED


def test_outcome_throttled_waits_as_long_as_a_proxy_says() -> None:
    answer = reply(429, {"message": "slow"}, x_amzn_errortype="TooManyRequestsException", retry_after="4")
    outcome = sender().outcome(answer, outgoing(email()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 4.0


def test_outcome_error_hides_secrets_and_addresses_and_nothing_else() -> None:
    text = "AKIDEXAMPLE in us-east-1 may not send to ada@example.com"
    outcome = sender().outcome(reply(403, {"message": text}), outgoing(email()))
    assert outcome.error == "[credential] in us-east-1 may not send to [address]"
