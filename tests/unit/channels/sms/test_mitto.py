"""Mitto: the JSON to the byte, every code of the table, and what is read by status."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hermod.channels.registry import validate
from hermod.channels.sms.mitto.codes import MEANINGS, Meaning
from hermod.channels.sms.mitto.sender import MittoSender
from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, Fault, RecipientRejected
from hermod.contracts.tenants.accounts import AccountInput
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.wiring import AdapterContext
from tests.unit.channels.samples import account, email, outgoing, reply, sms, wiring

KINDS = {
    Meaning.TAKEN: Outcome.ACCEPTED,
    Meaning.UNKNOWN: Outcome.UNKNOWN,
    Meaning.MESSAGE: Outcome.MESSAGE_REJECTED,
    Meaning.SENDER: Outcome.ACCOUNT_HALTED,
}
PUBLIC = "https://hermod.example.com"


def sender(public_url: str | None = None, **changes: Any) -> MittoSender:
    around = AdapterContext(guard=AddressGuard(), public_url=public_url) if public_url else wiring()
    return MittoSender(account("mitto", **changes), around)


def answer(code: object, **more: Any) -> dict[str, Any]:
    return {"id": "m-1", "responseCode": code, "responseText": "no", **more}


def from_account(**content: Any) -> Any:
    return outgoing(sms(**content), sender="Hermod")


def test_request_is_what_mitto_documents() -> None:
    request = sender().request(from_account(body="Grüße"))
    assert request.method == "POST"
    assert str(request.url) == "https://rest.mittoapi.net/sms"
    assert request.headers["x-mitto-api-key"] == "key-of-the-account"
    assert request.headers["content-type"] == "application/json"
    assert request.content == (
        '{"from":"Hermod","to":"14155550100","text":"Grüße","type":"GSM","reference":"msg_1"}'.encode()
    )


@pytest.mark.parametrize(("text", "type_"), [("a€{}", "GSM"), ("it’s", "Unicode"), ("ж", "Unicode"), ("😀", "Unicode")])
def test_request_type_follows_the_alphabet(text: str, type_: str) -> None:
    assert orjson.loads(sender().request(from_account(body=text)).content)["type"] == type_


def test_request_from_a_number_is_digits() -> None:
    request = sender().request(outgoing(sms(from_="+15005550006"), sender="+15005550006"))
    assert orjson.loads(request.content)["from"] == "15005550006"


def test_request_callback_holds_the_token_and_our_message() -> None:
    body = orjson.loads(sender(PUBLIC).request(from_account()).content)
    assert body["callback"] == (
        f"{PUBLIC}/ingress/receipts/mitto/demo/main?token=a-token-that-nobody-guesses&hermod_message_id=msg_1"
    )


def test_request_without_a_token_asks_for_no_reports() -> None:
    body = orjson.loads(sender(PUBLIC, credentials={"api_key": "k"}).request(from_account()).content)
    assert "callback" not in body


def test_request_goes_to_a_regional_host() -> None:
    request = sender(base_url="https://rest-fra.mittoapi.net/").request(from_account())
    assert str(request.url) == "https://rest-fra.mittoapi.net/sms"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (email(), "SMS only"),
        (sms(media_urls=["https://example.com/1.png"]), "pictures"),
        (sms(from_="Twelve chars"), "from"),
        (sms(from_="AB"), "from"),
        (sms(from_="My Shop"), "from"),
        (sms(from_="123456789012345"), "from"),
    ],
)
def test_content_that_mitto_cannot_carry_is_named(content: Any, says: str) -> None:
    assert says in (sender().cannot_express(content) or "")


@pytest.mark.parametrize("from_", ["Hermod", "Shop24", "123", "+15005550006"])
def test_content_with_a_sender_that_mitto_takes_passes(from_: str) -> None:
    assert sender().cannot_express(sms(from_=from_)) is None


def test_content_without_a_sender_is_named() -> None:
    assert "from" in (sender(from_=None).cannot_express(sms()) or "")


def test_settings_with_a_token_that_can_be_guessed_are_named() -> None:
    given = {"channel": "sms", "provider": "mitto", "credentials": {"api_key": "k", "callback_token": "short"}}
    with pytest.raises(InvalidInput) as caught:
        validate(AccountInput.model_validate(given))
    assert [one.field for one in caught.value.errors] == ["credentials.callback_token"]


@pytest.mark.parametrize("code", [0, "0"], ids=["number", "text"])
def test_outcome_success_is_accepted_with_its_id(code: object) -> None:
    assert sender().outcome(reply(200, answer(code)), from_account()) == Accepted(status_code=200, provider_id="m-1")


def test_outcome_success_without_an_id_is_accepted() -> None:
    assert sender().outcome(reply(200, {"responseCode": 0}), from_account()) == Accepted(status_code=200)


@pytest.mark.parametrize(("code", "meaning"), MEANINGS.items())
@pytest.mark.parametrize("status", [200, 400])
def test_outcome_listed_code_decides(code: str, meaning: Meaning | Fault, status: int) -> None:
    outcome = sender().outcome(reply(status, answer(int(code), responseText="no 14155550100")), from_account())
    kind = Outcome.RECIPIENT_REJECTED if isinstance(meaning, Fault) else KINDS[meaning]
    if meaning is Meaning.TAKEN and status != 200:
        kind = Outcome.UNKNOWN
    assert outcome.kind is kind
    assert "14155550100" not in (outcome.error or "")
    assert not isinstance(outcome, RecipientRejected) or outcome.fault is Fault.INVALID


def test_outcome_refused_sender_of_the_message_spares_the_account() -> None:
    outcome = sender().outcome(reply(200, answer(6)), outgoing(sms(from_="Other"), sender="Other"))
    assert outcome.kind is Outcome.MESSAGE_REJECTED


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"responseC', Outcome.UNKNOWN),
        (200, b"", Outcome.UNKNOWN),
        (200, answer(99), Outcome.UNKNOWN),
        (200, answer(True), Outcome.UNKNOWN),
        (202, answer(0), Outcome.UNKNOWN),
        (301, b"", Outcome.ACCOUNT_HALTED),
        (400, {"message": "no"}, Outcome.MESSAGE_REJECTED),
        (401, answer(1), Outcome.ACCOUNT_HALTED),
        (404, b"", Outcome.ACCOUNT_HALTED),
        (429, answer(1), Outcome.THROTTLED),
        (500, answer(8), Outcome.UNKNOWN),
        (503, b"", Outcome.UNKNOWN),
    ],
)
def test_outcome_without_listed_code_is_read_by_status(status: int, body: object, kind: Outcome) -> None:
    assert sender().outcome(reply(status, body), from_account()).kind is kind
