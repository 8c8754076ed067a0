"""Twilio: the form to the byte, every code of the table, and what is read by status."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from hermod.channels.sms.twilio.sender import TwilioSender
from hermod.channels.twilio_api.codes import MEANINGS, WAITS, Meaning
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, Fault, RecipientRejected, Throttled, Transient
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.wiring import AdapterContext
from tests.unit.channels.samples import CREDENTIALS, account, email, outgoing, reply, sms, wiring

SID = "AC" + "0" * 32
SERVICE = "MG" + "a" * 32
KINDS = {
    Meaning.MESSAGE: Outcome.MESSAGE_REJECTED,
    Meaning.SENDER: Outcome.ACCOUNT_HALTED,
    Meaning.ACCOUNT: Outcome.ACCOUNT_HALTED,
    Meaning.THROTTLED: Outcome.THROTTLED,
    Meaning.TRANSIENT: Outcome.TRANSIENT,
}


def sender(*, credentials: dict[str, str] | None = None, **changes: Any) -> TwilioSender:
    merged = CREDENTIALS["twilio"] | (credentials or {})
    return TwilioSender(account("twilio", credentials=merged, **changes), wiring())


def error(code: object, message: str = "no") -> dict[str, Any]:
    return {"code": code, "message": message, "more_info": "https://www.twilio.com/docs/errors", "status": 400}


def test_request_is_what_twilio_documents() -> None:
    request = sender().request(outgoing(sms(body="Grüße & <b> 😀")))
    assert request.method == "POST"
    assert str(request.url) == f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert (
        request.headers["authorization"] == "Basic " + base64.b64encode(f"{SID}:token-of-the-account".encode()).decode()
    )
    assert request.content == (b"To=%2B14155550100&From=%2B15005550006&Body=Gr%C3%BC%C3%9Fe+%26+%3Cb%3E+%F0%9F%98%80")


def test_request_with_api_key_signs_in_with_it_and_keeps_the_account_in_the_path() -> None:
    request = sender(credentials={"api_key_sid": "SK1", "api_key_secret": "s"}).request(outgoing(sms()))
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"SK1:s").decode()
    assert SID in request.url.path


def test_request_repeats_media_and_needs_no_body() -> None:
    content = sms(body=None, media_urls=["https://example.com/1.png", "https://example.com/2.png"])
    assert sender().request(outgoing(content)).content == (
        b"To=%2B14155550100&From=%2B15005550006"
        b"&MediaUrl=https%3A%2F%2Fexample.com%2F1.png&MediaUrl=https%3A%2F%2Fexample.com%2F2.png"
    )


@pytest.mark.parametrize(
    ("from_", "field"),
    [(SERVICE, "MessagingServiceSid"), ("MGM", "From"), ("MGM Resorts", "From"), ("12345", "From"), ("Hermod", "From")],
)
def test_request_messaging_service_is_told_from_a_name(from_: str, field: str) -> None:
    content = sms(from_=from_)
    form = sender().request(outgoing(content)).content.decode()
    assert f"{field}={from_.replace(' ', '+')}" in form.split("&")


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        ("https://h.example.com/t", "https%3A%2F%2Fh.example.com%2Ft%3Fhermod_message_id%3Dmsg_1"),
        ("https://h.example.com/t?a=1", "https%3A%2F%2Fh.example.com%2Ft%3Fa%3D1%26hermod_message_id%3Dmsg_1"),
    ],
)
def test_request_status_callback_names_our_message(callback: str, expected: str) -> None:
    form = sender(credentials={"status_callback": callback}).request(outgoing(sms())).content.decode()
    assert form.endswith(f"&StatusCallback={expected}")


def test_request_status_callback_is_our_own_address_where_none_is_given() -> None:
    public = AdapterContext(guard=AddressGuard(), public_url="https://hermod.example.com")
    form = TwilioSender(account("twilio"), public).request(outgoing(sms())).content.decode()
    assert form.endswith(
        "&StatusCallback=https%3A%2F%2Fhermod.example.com%2Fingress%2Freceipts%2Ftwilio%2Fdemo%2Fmain"
        "%3Fhermod_message_id%3Dmsg_1"
    )
    given = account("twilio", credentials=CREDENTIALS["twilio"] | {"status_callback": "https://h.example.com"})
    assert "h.example.com%3F" in TwilioSender(given, public).request(outgoing(sms())).content.decode()


@pytest.mark.parametrize(
    ("public_url", "base_url", "sent"),
    [
        ("https://hermod.example.com", None, True),
        ("http://hermod.example.com:8080", None, True),
        ("https://my_host.example.com", None, False),
        ("http://127.0.0.1:8080", None, False),
        ("http://localhost:8080", None, False),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8090/twilio", True),
        (None, None, False),
    ],
)
def test_request_status_callback_that_twilio_would_refuse_is_left_out(
    public_url: str | None, base_url: str | None, sent: bool
) -> None:
    around = AdapterContext(guard=AddressGuard(allow_private=True), public_url=public_url)
    form = TwilioSender(account("twilio", base_url=base_url), around).request(outgoing(sms())).content
    assert (b"StatusCallback" in form) is sent


def test_content_that_twilio_cannot_carry_is_named() -> None:
    assert "SMS only" in (sender().cannot_express(email()) or "")
    assert "from" in (sender(from_=None).cannot_express(sms()) or "")
    assert sender(from_=None).cannot_express(sms(from_="+15005550006")) is None


@pytest.mark.parametrize("status", [201, 200, 202])
def test_outcome_success_is_accepted_with_its_sid(status: int) -> None:
    outcome = sender().outcome(reply(status, {"sid": "SM1", "status": "queued"}), outgoing(sms()))
    assert outcome == Accepted(status_code=status, provider_id="SM1")


def test_outcome_success_with_broken_body_is_accepted_without_sid() -> None:
    assert sender().outcome(reply(201, b'{"sid": "SM'), outgoing(sms())) == Accepted(status_code=201)


@pytest.mark.parametrize(("code", "meaning"), MEANINGS.items())
@pytest.mark.parametrize("as_number", [True, False])
def test_outcome_listed_code_decides(code: str, meaning: Meaning | Fault, as_number: bool) -> None:
    body = error(int(code) if as_number else code, "no route to +14155550100")
    outcome = sender().outcome(reply(400, body), outgoing(sms()))
    kind = Outcome.RECIPIENT_REJECTED if isinstance(meaning, Fault) else KINDS[meaning]
    assert (outcome.kind, outcome.status_code, outcome.error_code) == (kind, 400, code)
    assert not isinstance(outcome, RecipientRejected) or outcome.fault is meaning
    assert outcome.error == "no route to [number]"


@pytest.mark.parametrize("code", ["21601", "21606", "21621", "21659"])
def test_outcome_refused_sender_of_the_message_spares_the_account(code: str) -> None:
    content = sms(from_="+15005550007")
    outcome = sender().outcome(reply(400, error(int(code))), outgoing(content))
    assert outcome.kind is Outcome.MESSAGE_REJECTED


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 29999, Outcome.MESSAGE_REJECTED),
        (400, None, Outcome.MESSAGE_REJECTED),
        (401, None, Outcome.ACCOUNT_HALTED),
        (401, 20003, Outcome.ACCOUNT_HALTED),
        (403, 20403, Outcome.ACCOUNT_HALTED),
        (404, 20404, Outcome.ACCOUNT_HALTED),
        (429, 20429, Outcome.THROTTLED),
        (429, None, Outcome.THROTTLED),
        (500, 20500, Outcome.UNKNOWN),
        (500, 21211, Outcome.UNKNOWN),
        (502, None, Outcome.UNKNOWN),
        (503, 20503, Outcome.UNKNOWN),
        (504, None, Outcome.UNKNOWN),
    ],
)
def test_outcome_without_listed_code_is_read_by_status(status: int, code: int | None, kind: Outcome) -> None:
    assert sender().outcome(reply(status, error(code)), outgoing(sms())).kind is kind


def test_outcome_throttled_takes_retry_after_where_there_is_one() -> None:
    outcome = sender().outcome(reply(429, error(20429), retry_after="9"), outgoing(sms()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 9.0


@pytest.mark.parametrize(("code", "wait"), WAITS.items())
def test_outcome_code_that_implies_a_wait_is_transient_for_that_long(code: str, wait: float) -> None:
    outcome = sender().outcome(reply(400, error(int(code))), outgoing(sms()))
    assert isinstance(outcome, Transient)
    assert outcome.retry_after == wait


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (21211, Fault.INVALID),
        (21610, Fault.OPTED_OUT),
        (21614, Fault.INVALID),
        (30005, Fault.INVALID),
        (30006, Fault.UNREACHABLE),
        (30640, Fault.LISTED),
    ],
)
def test_outcome_refused_recipient_says_why(code: int, fault: Fault) -> None:
    outcome = sender().outcome(reply(400, error(code)), outgoing(sms()))
    assert isinstance(outcome, RecipientRejected)
    assert outcome.fault is fault


def test_outcome_problem_details_are_read() -> None:
    body = {"type": "about:blank", "title": "Bad Request", "status": 400, "code": 21211, "detail": "invalid To"}
    outcome = sender().outcome(reply(400, body, "application/problem+json"), outgoing(sms()))
    assert (outcome.kind, outcome.error) == (Outcome.RECIPIENT_REJECTED, "invalid To")
