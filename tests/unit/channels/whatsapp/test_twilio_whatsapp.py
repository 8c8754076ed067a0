"""WhatsApp at Twilio: the form to the byte, and how a template becomes a content template with variables."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest

from hermod.channels.twilio_api.codes import MEANINGS, Meaning
from hermod.channels.whatsapp.twilio_whatsapp.sender import TwilioWhatsAppSender
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, Fault, RecipientRejected, Transient
from tests.unit.channels.samples import account, outgoing, reply, sms, whatsapp, wiring

SID = "AC" + "0" * 32
CONTENT = "HX" + "a" * 32
SERVICE = "MG" + "a" * 32


def sender(**changes: Any) -> TwilioWhatsAppSender:
    return TwilioWhatsAppSender(account("twilio_whatsapp", **changes), wiring())


def template(*components: dict[str, Any], name: str = CONTENT) -> Any:
    return whatsapp(body=None, template={"name": name, "language": "en", "components": components})


def body(*parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "body", "parameters": list(parameters)}


def text(value: str, **more: str) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def form(content: Any, from_: str = "+15005550006") -> dict[str, str]:
    request = sender().request(outgoing(content, sender=from_))
    return dict(parse_qsl(request.content.decode()))


def variables(*components: dict[str, Any]) -> dict[str, str]:
    said: dict[str, str] = orjson.loads(form(template(*components))["ContentVariables"])
    return said


@pytest.mark.parametrize("from_", ["+15005550006", "whatsapp:+15005550006"])
def test_request_inside_the_window_is_what_twilio_documents(from_: str) -> None:
    request = sender().request(outgoing(whatsapp(body="Grüße & 😀"), sender=from_))
    assert str(request.url) == f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json"
    assert request.content == (
        b"To=whatsapp%3A%2B14155550100&From=whatsapp%3A%2B15005550006&Body=Gr%C3%BC%C3%9Fe+%26+%F0%9F%98%80"
    )


def test_request_through_a_messaging_service_names_it() -> None:
    assert form(whatsapp(), SERVICE) == {
        "To": "whatsapp:+14155550100",
        "MessagingServiceSid": SERVICE,
        "Body": "Hi Ada",
    }


def test_request_of_a_template_is_what_twilio_documents() -> None:
    request = sender().request(outgoing(template(body(text("Ann")))))
    assert request.content == (
        b"To=whatsapp%3A%2B14155550100&From=whatsapp%3A%2B15005550006&ContentSid=" + CONTENT.encode() + b"&"
        b"ContentVariables=%7B%221%22%3A%22Ann%22%7D"
    )


def test_template_without_parameters_has_no_variables() -> None:
    assert "ContentVariables" not in form(template())
    assert "ContentVariables" not in form(template({"type": "body"}))


def test_template_parameters_are_numbered_through_all_components() -> None:
    assert variables(
        {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.com/1.png"}}]},
        body(
            text("Ann"),
            {"type": "currency", "currency": {"fallback_value": "$1", "code": "USD", "amount_1000": 1000}},
            {"type": "date_time", "date_time": {"fallback_value": "May 1"}},
        ),
        {"type": "button", "sub_type": "url", "index": "0", "parameters": [text("orders/7")]},
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": "1",
            "parameters": [{"type": "payload", "payload": "STOP"}],
        },
    ) == {"1": "https://example.com/1.png", "2": "Ann", "3": "$1", "4": "May 1", "5": "orders/7", "6": "STOP"}


def test_template_named_parameters_keep_their_names() -> None:
    assert variables(body(text("Ann", parameter_name="first_name"), text("7", parameter_name="order"))) == {
        "first_name": "Ann",
        "order": "7",
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (template(name="order_update"), "HX"),
        (template(body(text("Ann", parameter_name="first_name"), text("7"))), "mixed"),
        (template(body(text("Ann", parameter_name="a"), text("7", parameter_name="a"))), "same"),
        (template(body({"type": "location", "location": {"latitude": 1}})), "location"),
        (template(body({"type": "image", "image": {"id": "1"}})), "image"),
        (template(body({"type": "text"})), "text"),
        (template({"type": "body", "parameters": "Ann"}), "list"),
        (whatsapp(body="x" * 1601), "1600"),
        (sms(), "WhatsApp"),
    ],
)
def test_content_that_twilio_cannot_carry_is_named(content: Any, says: str) -> None:
    assert says in (sender().cannot_express(content) or "")


def test_content_without_a_sender_is_named() -> None:
    assert "from" in (sender(from_=None).cannot_express(whatsapp()) or "")


def test_content_that_twilio_carries_passes() -> None:
    assert sender().cannot_express(whatsapp(body="x" * 1600)) is None
    assert sender().cannot_express(template(body(text("Ann")))) is None


def test_outcome_success_is_accepted_with_its_sid() -> None:
    outcome = sender().outcome(reply(201, {"sid": "SM1", "status": "queued"}), outgoing(whatsapp()))
    assert outcome == Accepted(status_code=201, provider_id="SM1")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (63016, Outcome.MESSAGE_REJECTED),
        (63032, Outcome.MESSAGE_REJECTED),
        (63017, Outcome.THROTTLED),
        (63018, Outcome.THROTTLED),
        (63020, Outcome.ACCOUNT_HALTED),
        (63062, Outcome.ACCOUNT_HALTED),
    ],
)
def test_outcome_code_of_the_channel_decides(code: int, kind: Outcome) -> None:
    assert sender().outcome(reply(400, {"code": code, "message": "no"}), outgoing(whatsapp())).kind is kind


@pytest.mark.parametrize(("code", "fault"), [(63003, Fault.INVALID), (63024, Fault.UNREACHABLE)])
def test_outcome_refused_recipient_says_why(code: int, fault: Fault) -> None:
    outcome = sender().outcome(reply(400, {"code": code, "message": "no"}), outgoing(whatsapp()))
    assert isinstance(outcome, RecipientRejected)
    assert outcome.fault is fault


def test_outcome_marketing_cap_of_one_recipient_spares_the_account() -> None:
    assert MEANINGS["63049"] is Meaning.TRANSIENT
    outcome = sender().outcome(reply(400, {"code": 63049, "message": "no"}), outgoing(whatsapp()))
    assert isinstance(outcome, Transient)
    assert outcome.retry_after == 86_400.0
