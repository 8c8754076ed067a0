"""Twilio: the form to the byte, every code of the table, and what is read by status."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from hermod.channels.sms.twilio.codes import MEANINGS, Meaning
from hermod.channels.sms.twilio.sender import TwilioSender
from hermod.contracts.messages import Outcome
from hermod.contracts.outcomes import Accepted, Throttled, Transient
from tests.unit.channels.samples import CREDENTIALS, account, email, outgoing, reply, sms, wiring

SID = "AC" + "0" * 32
SERVICE = "MG" + "a" * 32
KINDS = {
    Meaning.RECIPIENT: Outcome.RECIPIENT_REJECTED,
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
def test_outcome_listed_code_decides(code: str, meaning: Meaning, as_number: bool) -> None:
    body = error(int(code) if as_number else code, "no route to +14155550100")
    outcome = sender().outcome(reply(400, body), outgoing(sms()))
    assert (outcome.kind, outcome.status_code, outcome.error_code) == (KINDS[meaning], 400, code)
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


def test_outcome_quiet_hours_wait_an_hour() -> None:
    outcome = sender().outcome(reply(400, error(30610)), outgoing(sms()))
    assert isinstance(outcome, Transient)
    assert outcome.retry_after == 3600.0


def test_outcome_problem_details_are_read() -> None:
    body = {"type": "about:blank", "title": "Bad Request", "status": 400, "code": 21211, "detail": "invalid To"}
    outcome = sender().outcome(reply(400, body, "application/problem+json"), outgoing(sms()))
    assert (outcome.kind, outcome.error) == (Outcome.RECIPIENT_REJECTED, "invalid To")
