"""Expo: the request to the byte, every row of the tables, tickets and receipts."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from hermod.channels.push.expo.codes import RECEIPTS, REQUESTS, TICKETS, Meaning
from hermod.channels.push.expo.receipts import read_receipts
from hermod.channels.push.expo.sender import ExpoSender
from hermod.channels.redaction import one_line
from hermod.channels.registry import KITS, POLLED, validate
from hermod.contracts.notifications.content import Channel, Push
from hermod.contracts.notifications.messages import Category, Outcome
from hermod.contracts.notifications.outcomes import (
    Accepted,
    AccountHalted,
    AnyOutcome,
    Fault,
    MessageRejected,
    OutcomeUnknown,
    RecipientRejected,
    Throttled,
    Transient,
)
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.tenants.accounts import AccountInput
from hermod.ports.notifications.receipts import ReceiptPoller
from tests.unit.channels import samples

TOKEN: Final = "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]"
TICKET: Final = "b2f7b1f0-0000-4000-8000-000000000001"
KINDS: Final[dict[Meaning, type[AnyOutcome]]] = {
    Meaning.UNREGISTERED: RecipientRejected,
    Meaning.MESSAGE: MessageRejected,
    Meaning.LATER: Transient,
    Meaning.THROTTLED: Throttled,
    Meaning.ACCOUNT: AccountHalted,
}


def push(**changes: Any) -> Push:
    return Push(**({"to": TOKEN, "title": "Hello", "body": "Hi Ada"} | changes))


def sender(**changes: Any) -> ExpoSender:
    return ExpoSender(samples.account("expo", **changes), samples.wiring())


def outcome(reply: Any) -> AnyOutcome:
    return sender().outcome(reply, samples.outgoing(push()))


def error(code: str, message: str = "no") -> dict[str, Any]:
    return {"errors": [{"code": code, "message": message}]}


def ticket(code: str | None, message: str = "no") -> dict[str, Any]:
    details = {"error": code} if code else None
    return {"data": [{"status": "error", "message": message, "details": details}]}


def test_request_of_one_message_is_exactly_this() -> None:
    request = sender().request(samples.outgoing(push(data={"order": 7}), request_id="req_1"))
    assert (request.method, str(request.url)) == ("POST", "https://exp.host/--/api/v2/push/send")
    assert dict(request.headers) == {
        "content-type": "application/json",
        "accept": "application/json",
        "authorization": "Bearer token-of-the-expo-account",
        "x-request-id": "req_1",
    }
    assert request.content == (
        b'[{"to":"ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]","title":"Hello","body":"Hi Ada",'
        b'"data":{"order":7,"hermod_message_id":"msg_1"},"priority":"high"}]'
    )


def test_request_of_everything_a_message_can_have_leaves_nothing_out() -> None:
    content = push(image="https://example.com/1.png", url="https://example.com/7", ttl_seconds=0)
    request = sender().request(samples.outgoing(content, category=Category.MARKETING))
    (message,) = orjson.loads(request.content)
    assert message["richContent"] == {"image": "https://example.com/1.png"}
    assert message["data"]["url"] == "https://example.com/7"
    assert (message["ttl"], message["priority"]) == (0, "default")


def test_request_of_several_messages_has_them_in_order_and_their_request_id_where_it_is_one() -> None:
    messages = [samples.outgoing(push(title=title), id=title, request_id="req_1") for title in ("a", "b")]
    request = sender().carrying(messages)
    assert [one["data"]["hermod_message_id"] for one in orjson.loads(request.content)] == ["a", "b"]
    assert request.headers["x-request-id"] == "req_1"
    mixed = [*messages, samples.outgoing(push(), request_id="req_2")]
    assert "x-request-id" not in sender().carrying(mixed).headers


def test_account_without_a_token_sends_none() -> None:
    request = sender(credentials={}, base_url="https://proxy.example.com/").request(samples.outgoing(push()))
    assert "authorization" not in request.headers
    assert str(request.url) == "https://proxy.example.com/--/api/v2/push/send"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (samples.sms(), "push"),
        (push(to="ab" * 32), "token"),
        (push(to={"endpoint": "https://push.example.com/1"}), "token"),
        (push(collapse_key="k"), "collapse_key"),
        (push(url="https://example.com/1", data={"url": "https://example.com/2"}), "url"),
        (push(data={"hermod_message_id": "mine"}), "hermod_message_id"),
    ],
)
def test_content_that_does_not_fit_is_refused_before_it_is_sent(content: Any, word: str) -> None:
    assert word in (sender().cannot_express(content) or "")


@pytest.mark.parametrize(
    "content", [push(), push(to="ExpoPushToken[a]"), push(url="https://e.com/1", data={"url": "https://e.com/1"})]
)
def test_content_that_fits_is_taken(content: Push) -> None:
    assert sender().cannot_express(content) is None
    assert sender().batchable(content)


@pytest.mark.parametrize("data", [[{"status": "ok", "id": TICKET}], {"status": "ok", "id": TICKET}])
def test_ticket_is_ok_accepts_the_message_under_its_id(data: Any) -> None:
    assert outcome(samples.reply(200, {"data": data})) == Accepted(status_code=200, provider_id=TICKET)


@pytest.mark.parametrize("identity", [None, 7, "", "x" * 300])
def test_ticket_without_a_usable_id_still_accepts(identity: object) -> None:
    found = outcome(samples.reply(200, {"data": [{"status": "ok", "id": identity}]}))
    assert found == Accepted(status_code=200)


@pytest.mark.parametrize(("code", "meaning"), TICKETS.items())
def test_ticket_of_an_error_is_what_the_table_says(code: str, meaning: Meaning) -> None:
    found = outcome(samples.reply(200, ticket(code)))
    assert type(found) is KINDS[meaning]
    assert (found.status_code, found.error_code, found.error) == (200, code, "no")
    if isinstance(found, RecipientRejected):
        assert found.fault is Fault.UNREGISTERED


@pytest.mark.parametrize("code", [None, "SomethingNew"])
def test_ticket_of_an_unknown_error_refuses_the_message(code: str | None) -> None:
    assert outcome(samples.reply(200, ticket(code))).kind is Outcome.MESSAGE_REJECTED


@pytest.mark.parametrize(("code", "meaning"), REQUESTS.items())
def test_request_refused_is_what_the_table_says(code: str, meaning: Meaning) -> None:
    found = outcome(samples.reply(429 if meaning is Meaning.THROTTLED else 400, error(code)))
    assert type(found) is KINDS[meaning]
    assert found.error_code == code


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, MessageRejected), (401, AccountHalted), (403, AccountHalted), (404, AccountHalted), (408, OutcomeUnknown),
     (413, MessageRejected), (429, Throttled), (500, OutcomeUnknown), (503, OutcomeUnknown)],
)  # fmt: skip
def test_request_refused_for_an_unknown_reason_is_judged_by_its_status(status: int, expected: type) -> None:
    assert type(outcome(samples.reply(status, error("SOMETHING_NEW")))) is expected
    assert type(outcome(samples.reply(status, b"", kind=None))) is expected


def test_request_throttled_waits_as_long_as_the_answer_says() -> None:
    found = outcome(samples.reply(429, error("TOO_MANY_REQUESTS"), retry_after="7"))
    assert isinstance(found, Throttled)
    assert found.retry_after == 7


@pytest.mark.parametrize(
    "body",
    [b"", b"OK", b"[]", b'{"data":', {"data": []}, {"data": [{}, {}]}, {"data": ["ok"]}, {"data": [{"status": "new"}]},
     {"data": None}, {"errors": []}, {"errors": "x"}],
)  # fmt: skip
def test_answer_without_a_ticket_is_unknown(body: object) -> None:
    assert outcome(samples.reply(200, body)).kind is Outcome.UNKNOWN


def test_answer_is_a_web_page_is_unknown() -> None:
    found = outcome(samples.reply(200, b"<html>", "text/html"))
    assert (found.kind, found.error_code) == (Outcome.UNKNOWN, "html")


def test_answer_of_several_messages_is_read_ticket_by_ticket() -> None:
    messages = [samples.outgoing(push(), id=str(number)) for number in range(2)]
    body = {"data": [{"status": "ok", "id": TICKET}, ticket("MessageTooBig")["data"][0]]}
    kinds = [one.kind for one in sender().outcomes(samples.reply(200, body), messages)]
    assert kinds == [Outcome.ACCEPTED, Outcome.MESSAGE_REJECTED]
    short = {"data": body["data"][:1]}
    assert [one.kind for one in sender().outcomes(samples.reply(200, short), messages)] == [Outcome.UNKNOWN] * 2


@pytest.mark.parametrize(
    "body", [ticket("DeviceNotRegistered", f'"{TOKEN}" is not registered'), error("NEW", f"{TOKEN} of ada@example.com")]
)
def test_error_quotes_the_token_is_shown_without_it(body: dict[str, Any]) -> None:
    found = outcome(samples.reply(200 if "data" in body else 400, body))
    assert "[token]" in (found.error or "")
    assert "xxxx" not in (found.error or "")
    assert "ada@" not in (found.error or "")


def test_receipts_are_read_by_their_tickets() -> None:
    receipts = {
        "a": {"status": "ok"},
        "b": {"status": "error", "message": f'"{TOKEN}" is gone', "details": {"error": "DeviceNotRegistered"}},
        "c": {"status": "error"},
        "d": {"status": "elsewhere"},
        "e": {},
        "f": "ok",
        "g" * 300: {"status": "ok"},
    }
    events = list(read_receipts(receipts, one_line))
    assert [(one.id, one.provider_message_id, one.kind, one.word, one.code) for one in events] == [
        ("a", "a", ReceiptEventType.ACCEPTED, "ok", None),
        ("b", "b", ReceiptEventType.UNREGISTERED, "error/DeviceNotRegistered", "DeviceNotRegistered"),
        ("c", "c", ReceiptEventType.FAILED, "error", None),
        ("d", "d", ReceiptEventType.UNKNOWN, "elsewhere", None),
        ("e", "e", ReceiptEventType.UNKNOWN, "?", None),
    ]


@pytest.mark.parametrize(("code", "kind"), RECEIPTS.items())
def test_receipt_of_an_error_is_what_the_table_says(code: str, kind: ReceiptEventType) -> None:
    (event,) = read_receipts({"a": {"status": "error", "details": {"error": code}}}, one_line)
    assert (event.kind, event.code) == (kind, code)


def test_expo_is_asked_for_its_receipts() -> None:
    assert isinstance(sender(), ReceiptPoller)
    assert "expo" in POLLED
    assert "sandbox" not in POLLED


def test_account_without_credentials_is_taken() -> None:
    validate(AccountInput(channel=Channel.PUSH, provider="expo", credentials={}))
    assert KITS["expo"].receipts is None
