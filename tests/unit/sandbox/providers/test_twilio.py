"""The sandbox's Twilio takes what the vendor takes, and refuses the rest with the vendor's codes."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from httpx import Headers

from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.magic import magic_of
from devstack.sandbox.providers.contract import Call, Refused, Submission
from devstack.sandbox.providers.twilio import Twilio
from devstack.sandbox.providers.twilio_checks import segments

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
API_KEY = "SK0123456789abcdef0123456789abcdef"
SERVICE = "MG0123456789abcdef0123456789abcdef"
PATH = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
SMS = {"To": "+14155550100", "From": "+14155550199", "Body": "Hello"}


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def call(
    form: dict[str, Any],
    *,
    authorization: str | None = basic(ACCOUNT, "token"),
    path: str = PATH,
    method: str = "POST",
    content_type: str = "application/x-www-form-urlencoded",
) -> Call:
    headers = Headers({"Content-Type": content_type})
    if authorization is not None:
        headers["Authorization"] = authorization
    return Call(method, path, headers, urlencode(form, doseq=True).encode())


def submit(form: dict[str, Any] = SMS, **how: Any) -> Submission:
    return Twilio().check(call(form, **how))


def refused(form: dict[str, Any] = SMS, **how: Any) -> tuple[int, int]:
    """Status and code; the rest of the shape is checked on the way."""
    with pytest.raises(Refused) as refusal:
        submit(form, **how)
    reply = refusal.value.reply
    body = orjson.loads(reply.body)
    assert set(body) == {"code", "message", "more_info", "status"}
    assert body["status"] == reply.status
    assert body["more_info"] == f"https://www.twilio.com/docs/errors/{body['code']}"
    return reply.status, body["code"]


def answer(submission: Submission) -> dict[str, Any]:
    submission.entries[0].received_at = "2026-11-21T10:00:00.000Z"
    reply = Twilio().accepted(submission, submission.provider_id, repeated=False)
    assert reply.status == 201
    body: dict[str, Any] = orjson.loads(reply.body)
    return body


def test_sms_is_sent_answers_the_message_resource() -> None:
    body = answer(submit())
    sid = body["sid"]
    assert len(sid) == 34
    assert sid.startswith("SM")
    assert body == {
        "sid": sid,
        "account_sid": ACCOUNT,
        "messaging_service_sid": None,
        "status": "queued",
        "body": "Hello",
        "from": "+14155550199",
        "to": "+14155550100",
        "num_segments": "1",
        "num_media": "0",
        "direction": "outbound-api",
        "price": None,
        "price_unit": "USD",
        "error_code": None,
        "error_message": None,
        "date_created": "Sat, 21 Nov 2026 10:00:00 +0000",
        "date_sent": None,
        "date_updated": "Sat, 21 Nov 2026 10:00:00 +0000",
        "api_version": "2010-04-01",
        "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}.json",
        "subresource_uris": {"media": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}/Media.json"},
    }


def test_mms_is_sent_gets_an_mm_sid_and_keeps_its_media() -> None:
    media = ["https://example.com/1.png", "https://example.com/2.png"]
    submission = submit({"To": "+14155550100", "From": "+14155550199", "MediaUrl": media})
    assert answer(submission)["sid"].startswith("MM")
    assert answer(submission)["num_media"] == "2"
    assert submission.entries[0].media_urls == tuple(media)


def test_service_sends_status_is_accepted_without_a_from() -> None:
    body = answer(submit({"To": "+14155550100", "MessagingServiceSid": SERVICE, "Body": "Hello"}))
    assert (body["status"], body["from"], body["messaging_service_sid"], body["num_segments"]) == (
        "accepted",
        None,
        SERVICE,
        "0",
    )


def test_whatsapp_is_sent_is_filed_under_its_channel() -> None:
    submission = submit({"To": "whatsapp:+14155550100", "From": "whatsapp:+14155550199", "Body": "Hello"})
    assert submission.entries[0].channel == "whatsapp"
    assert submission.entries[0].to == ("+14155550100",)
    assert answer(submission)["to"] == "whatsapp:+14155550100"


def test_callback_names_our_message_the_entry_carries_its_id() -> None:
    form = SMS | {"StatusCallback": "https://example.com/ingress/receipts/twilio/demo/main?message=msg_01ab"}
    assert submit(form).entries[0].message_id == "msg_01ab"
    assert submit().entries[0].message_id is None


def test_api_key_is_used_is_taken_for_the_account_of_the_url() -> None:
    assert submit(authorization=basic(API_KEY, "secret")).entries[0].headers["AccountSid"] == ACCOUNT


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer token",
        "Basic %%%",
        basic(ACCOUNT, ""),
        basic(ACCOUNT, "bad-token"),
        basic("AC" + "1" * 32, "token"),
        basic("ada", "token"),
    ],
)
def test_credentials_are_wrong_answers_401(authorization: str | None) -> None:
    assert refused(authorization=authorization) == (401, 20003)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": None}, 21604),
        ({"To": "4155550100"}, 21211),
        ({"To": "+1 415 555 0100"}, 21211),
        ({"To": "whatsapp:14155550100", "From": "whatsapp:+14155550199"}, 21211),
        ({"From": None}, 21603),
        ({"From": "415-555"}, 21212),
        ({"From": "Twelve chars"}, 21212),
        ({"From": "whatsapp:+14155550199"}, 21910),
        ({"From": "+14155550100"}, 21266),
        ({"From": "+15005550001"}, 21212),
        ({"From": "+15005550007"}, 21606),
        ({"From": "+15005550008"}, 21611),
        ({"From": None, "MessagingServiceSid": "MG1"}, 21705),
        ({"Body": None}, 21602),
        ({"Body": ""}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"MediaUrl": ["https://example.com/x"] * 11}, 21623),
        ({"MediaUrl": "example.com/x"}, 21620),
        ({"ContentSid": "HX1"}, 21655),
        ({"ContentSid": "HX" + "0" * 32, "ContentVariables": '{"1": 2}'}, 21656),
        ({"StatusCallback": "/relative"}, 21609),
        ({"StatusCallback": "https://my_host.example.com/x"}, 21609),
        ({"ValidityPeriod": "36001"}, 21624),
        ({"ScheduleType": "fixed"}, 35111),
        ({"ScheduleType": "fixed", "SendAt": "2030-01-01T00:00:00Z"}, 35118),
    ],
)
def test_parameter_is_wrong_answers_its_code(change: dict[str, Any], code: int) -> None:
    form = {name: value for name, value in (SMS | change).items() if value is not None}
    assert refused(form) == (400, code)


def test_body_is_json_has_no_parameters() -> None:
    assert refused(content_type="application/json") == (400, 21604)


def test_path_is_wrong_answers_404() -> None:
    assert refused(path="/2010-04-01/Accounts/Messages.json") == (404, 20404)


@pytest.mark.parametrize("sender", ["+14155550199", "123456", "Hermod", "My Shop 24"])
def test_sender_is_number_code_or_name_is_taken(sender: str) -> None:
    assert submit(SMS | {"From": sender}).entries[0].sender == sender


def test_message_is_scheduled_within_the_window_is_taken() -> None:
    def form(ahead: timedelta) -> dict[str, str]:
        send_at = (datetime.now(UTC) + ahead).strftime("%Y-%m-%dT%H:%M:%SZ")
        return SMS | {"MessagingServiceSid": SERVICE, "ScheduleType": "fixed", "SendAt": send_at}

    assert answer(submit(form(timedelta(hours=1))))["status"] == "scheduled"
    assert refused(form(timedelta(minutes=5))) == (400, 35115)


def test_message_is_looked_up_is_found_only_in_its_account() -> None:
    inbox, twilio = Inbox(), Twilio()
    submission = submit()
    inbox.receive(submission.entries, submission.raw)
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{submission.provider_id}.json"
    found = twilio.lookup(call({}, method="GET", path=path), inbox)
    assert found is not None
    assert orjson.loads(found.body)["sid"] == submission.provider_id
    other = "AC" + "1" * 32
    with pytest.raises(Refused):
        twilio.lookup(
            call({}, method="GET", path=path.replace(ACCOUNT, other), authorization=basic(other, "token")), inbox
        )


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("+15005550001", 21211),
        ("+15005550002", 21612),
        ("+15005550003", 21408),
        ("+15005550004", 21610),
        ("+15005550009", 21614),
    ],
)
def test_number_is_a_test_number_of_twilio_answers_its_code(number: str, code: int) -> None:
    magic = magic_of(number)
    assert magic is not None
    reply = Twilio().refusal(magic.fault, submit(SMS | {"To": number}))
    assert (reply.status, orjson.loads(reply.body)["code"]) == (400, code)


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        (FaultName.THROTTLE, 429, 20429),
        (FaultName.ERROR_500, 500, 20500),
        (FaultName.ERROR_503, 503, 20503),
        (FaultName.BAD_CREDENTIALS, 401, 20003),
        (FaultName.REJECTED_RECIPIENT, 400, 21211),
        (FaultName.REJECTED_MESSAGE, 400, 21618),
    ],
)
def test_fault_is_met_answers_in_the_vendors_shape(name: FaultName, status: int, code: int) -> None:
    reply = Twilio().refusal(Fault(name), submit())
    body = orjson.loads(reply.body)
    assert (reply.status, body["status"], body["code"]) == (status, status, code)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("😀" * 36, 2),
        ("😀" * 67, 3),
        ("x" * 152 + "€" + "x" * 152, 3),
    ],
)
def test_text_is_counted_in_segments(text: str, count: int) -> None:
    assert segments(text) == count
