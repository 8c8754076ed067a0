"""WhatsApp Cloud API: the JSON to the byte, every code of the table, and what is read by status."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hermod.channels.registry import validate
from hermod.channels.whatsapp.whatsapp_cloud.codes import MEANINGS, WAITS, Meaning
from hermod.channels.whatsapp.whatsapp_cloud.sender import WhatsAppCloudSender
from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, Fault, RecipientRejected, Throttled, Transient
from hermod.contracts.tenants.accounts import AccountInput
from tests.unit.channels.samples import CREDENTIALS, account, outgoing, reply, sms, whatsapp, wiring

KINDS = {
    Meaning.MESSAGE: Outcome.MESSAGE_REJECTED,
    Meaning.ACCOUNT: Outcome.ACCOUNT_HALTED,
    Meaning.THROTTLED: Outcome.THROTTLED,
    Meaning.PAIR_THROTTLED: Outcome.TRANSIENT,
    Meaning.TRANSIENT: Outcome.TRANSIENT,
    Meaning.UNKNOWN: Outcome.UNKNOWN,
}
COMPONENTS = [
    {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.com/1.png"}}]},
    {"type": "body", "parameters": [{"type": "text", "parameter_name": "first_name", "text": "Ann"}]},
    {
        "type": "button",
        "sub_type": "quick_reply",
        "index": "1",
        "parameters": [{"type": "payload", "payload": "STOP"}],
    },
]


def sender(**credentials: str) -> WhatsAppCloudSender:
    merged = CREDENTIALS["whatsapp_cloud"] | credentials
    return WhatsAppCloudSender(account("whatsapp_cloud", credentials=merged), wiring())


def error(code: object, message: str = "no") -> dict[str, Any]:
    return {"error": {"message": f"(#{code}) {message}", "type": "OAuthException", "code": code, "fbtrace_id": "A"}}


def test_request_of_a_text_is_what_meta_documents() -> None:
    request = sender().request(outgoing(whatsapp(body="Grüße")))
    assert request.method == "POST"
    assert str(request.url) == "https://graph.facebook.com/v26.0/106540352242922/messages"
    assert request.headers["authorization"] == "Bearer token-of-the-system-user"
    assert request.headers["content-type"] == "application/json"
    assert (
        request.content
        == (
            '{"messaging_product":"whatsapp","recipient_type":"individual","to":"14155550100","type":"text",'
            '"text":{"body":"Grüße","preview_url":false},"biz_opaque_callback_data":"msg_1"}'
        ).encode()
    )


def test_request_of_a_template_passes_its_components_through() -> None:
    content = whatsapp(body=None, template={"name": "order_update", "language": "en_US", "components": COMPONENTS})
    assert orjson.loads(sender().request(outgoing(content)).content) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "14155550100",
        "type": "template",
        "template": {"name": "order_update", "language": {"code": "en_US"}, "components": COMPONENTS},
        "biz_opaque_callback_data": "msg_1",
    }


def test_request_of_a_template_without_parameters_has_no_components() -> None:
    content = whatsapp(body=None, template={"name": "hello_world", "language": "en_US"})
    template = orjson.loads(sender().request(outgoing(content)).content)["template"]
    assert template == {"name": "hello_world", "language": {"code": "en_US"}}


def test_request_goes_to_the_accounts_version() -> None:
    assert sender(api_version="v25.0").request(outgoing(whatsapp())).url.path == "/v25.0/106540352242922/messages"


@pytest.mark.parametrize(
    ("credentials", "field"),
    [
        ({"phone_number_id": "+14155550100"}, "credentials.phone_number_id"),
        ({"phone_number_id": "1/../2"}, "credentials.phone_number_id"),
        ({"api_version": "26"}, "credentials.api_version"),
        ({"api_version": "v26.0/x"}, "credentials.api_version"),
    ],
)
def test_settings_that_lead_elsewhere_are_named(credentials: dict[str, str], field: str) -> None:
    merged = CREDENTIALS["whatsapp_cloud"] | credentials
    given = {"channel": "whatsapp", "provider": "whatsapp_cloud", "credentials": merged}
    with pytest.raises(InvalidInput) as caught:
        validate(AccountInput.model_validate(given))
    assert [one.field for one in caught.value.errors] == [field]


def test_content_of_another_channel_is_named() -> None:
    assert "WhatsApp" in (sender().cannot_express(sms()) or "")
    assert sender().cannot_express(whatsapp()) is None


@pytest.mark.parametrize(
    "more", [{}, {"message_status": "accepted"}, {"message_status": "held_for_quality_assessment"}]
)
def test_outcome_success_is_accepted_with_its_wamid(more: dict[str, str]) -> None:
    body = {"messaging_product": "whatsapp", "contacts": [], "messages": [{"id": "wamid.X", **more}]}
    assert sender().outcome(reply(200, body), outgoing(whatsapp())) == Accepted(status_code=200, provider_id="wamid.X")


@pytest.mark.parametrize("body", [b'{"messag', b"[]", {"messages": []}, {"messages": ["x"]}, {"messages": {}}])
def test_outcome_success_without_an_id_is_accepted(body: object) -> None:
    assert sender().outcome(reply(200, body), outgoing(whatsapp())) == Accepted(status_code=200)


@pytest.mark.parametrize(("code", "meaning"), MEANINGS.items())
@pytest.mark.parametrize("status", [400, 200, 500])
def test_outcome_code_alone_decides(code: str, meaning: Meaning | Fault, status: int) -> None:
    outcome = sender().outcome(reply(status, error(int(code), "no 14155550100")), outgoing(whatsapp()))
    kind = Outcome.RECIPIENT_REJECTED if isinstance(meaning, Fault) else KINDS[meaning]
    assert (outcome.kind, outcome.status_code, outcome.error_code) == (kind, status, code)
    assert outcome.error == f"(#{code}) no [number]"
    assert not isinstance(outcome, RecipientRejected) or outcome.fault is meaning


@pytest.mark.parametrize(
    ("code", "fault"),
    [(131026, Fault.UNREACHABLE), (131050, Fault.OPTED_OUT), (131030, Fault.UNREACHABLE), (137000, Fault.UNREACHABLE)],
)
def test_outcome_refused_recipient_says_why(code: int, fault: Fault) -> None:
    outcome = sender().outcome(reply(400, error(code)), outgoing(whatsapp()))
    assert isinstance(outcome, RecipientRejected)
    assert outcome.fault is fault


@pytest.mark.parametrize(("attempt", "wait"), [(1, 4.0), (2, 16.0), (3, 64.0), (9, 3_600.0), (5_000, 3_600.0)])
def test_outcome_too_much_for_one_recipient_rests_only_this_message(attempt: int, wait: float) -> None:
    outcome = sender().outcome(reply(400, error(131056)), outgoing(whatsapp(), attempt=attempt))
    assert isinstance(outcome, Transient)
    assert outcome.retry_after == wait


def test_outcome_marketing_cap_of_one_recipient_waits_a_day() -> None:
    outcome = sender().outcome(reply(400, error(131049)), outgoing(whatsapp()))
    assert isinstance(outcome, Transient)
    assert outcome.retry_after == WAITS["131049"] == 86_400.0


def test_outcome_taken_for_spam_rests_the_account_for_two_hours() -> None:
    outcome = sender().outcome(reply(400, error(131048)), outgoing(whatsapp()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 7_200.0


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error(999_999), Outcome.MESSAGE_REJECTED),
        (400, error(None), Outcome.MESSAGE_REJECTED),
        (400, {"error": "no"}, Outcome.MESSAGE_REJECTED),
        (401, b"", Outcome.ACCOUNT_HALTED),
        (404, error(999_999), Outcome.ACCOUNT_HALTED),
        (429, error(999_999), Outcome.THROTTLED),
        (500, error(999_999), Outcome.UNKNOWN),
        (502, b"<html>", Outcome.UNKNOWN),
        (200, error(999_999), Outcome.UNKNOWN),
    ],
)
def test_outcome_without_listed_code_is_read_by_status(status: int, body: object, kind: Outcome) -> None:
    assert sender().outcome(reply(status, body), outgoing(whatsapp())).kind is kind
