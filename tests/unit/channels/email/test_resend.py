"""Resend: the request to the byte, its idempotency keys, and every row of how its answers are read."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest

from hermod.channels.email.resend.codes import MEANINGS, Meaning
from hermod.channels.email.resend.sender import ResendSender
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, MessageRejected, Throttled
from hermod.ports.notifications.sender import BatchSender
from tests.unit.channels.samples import CREDENTIALS, account, email, file, outgoing, reply, sms, wiring

KINDS = {
    Meaning.MESSAGE: Outcome.MESSAGE_REJECTED,
    Meaning.SENDER: Outcome.ACCOUNT_HALTED,
    Meaning.ACCOUNT: Outcome.ACCOUNT_HALTED,
    Meaning.RATE: Outcome.THROTTLED,
    Meaning.QUOTA: Outcome.THROTTLED,
    Meaning.IN_FLIGHT: Outcome.UNKNOWN,
    Meaning.TAKEN: Outcome.ACCEPTED,
}
ID = "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"


def sender(**changes: Any) -> ResendSender:
    return ResendSender(account("resend", **changes), wiring())


def body_of(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(sender().request(outgoing(email(**changes))).content)
    return body


def error(status: int, name: str | None, message: str = "no") -> dict[str, Any]:
    return {"statusCode": status, "name": name, "message": message}


def faults(**credentials: str) -> list[FieldError]:
    settings = wiring()
    return list(ResendSender.check(CREDENTIALS["resend"] | credentials, None, settings.guard))


def test_request_is_what_resend_documents() -> None:
    request = sender().request(outgoing(email(html="<p>Hi</p>"), request_id="req_1"))
    assert request.method == "POST"
    assert str(request.url) == "https://api.resend.com/emails"
    assert dict(request.headers) == {
        "content-type": "application/json",
        "accept": "application/json",
        "authorization": "Bearer re_key_of_the_account",
        "idempotency-key": "msg_1",
        "x-request-id": "req_1",
    }
    assert request.content == (
        b'{"from":"News <news@example.com>","to":["ada@example.com"],"subject":"Hello","html":"<p>Hi</p>",'
        b'"text":"Hi Ada","tags":[{"name":"hermod_message_id","value":"msg_1"}]}'
    )


def test_request_repeated_is_the_same_to_the_byte() -> None:
    content = email(html="<img src='cid:logo'>", headers={"X-A": "1"}, attachments=[file(), file("l.png", cid="logo")])
    first, second = (sender().request(outgoing(content, attempt=attempt)) for attempt in (1, 2))
    assert first.content == second.content
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_request_names_everybody_once_in_their_own_script() -> None:
    body = body_of(
        to="Zoë Müller <zoe@bücher.example>",
        cc=["bob@example.com", "ZOE@xn--bcher-kva.example"],
        bcc=['"Doe, Carl" <carl@example.com>', "BOB@example.com"],
        reply_to="Büro <office@example.com>",
    )
    assert body["to"] == ["Zoë Müller <zoe@xn--bcher-kva.example>"]
    assert body["cc"] == ["bob@example.com"]
    assert body["bcc"] == ['"Doe, Carl" <carl@example.com>']
    assert body["reply_to"] == ["Büro <office@example.com>"]


def test_request_carries_headers_and_files() -> None:
    body = body_of(
        html='<img src="cid:logo">',
        headers={"List-Unsubscribe": "<https://example.com/u/1>"},
        attachments=[file(), file("logo.png", "image/png", b"png", "logo")],
    )
    assert body["headers"] == {"List-Unsubscribe": "<https://example.com/u/1>"}
    assert body["attachments"] == [
        {"filename": "a.pdf", "content": "JVBERg==", "content_type": "application/pdf"},
        {"filename": "logo.png", "content": "cG5n", "content_type": "image/png", "content_id": "logo"},
    ]


def test_request_image_that_no_html_shows_is_an_attachment() -> None:
    assert "content_id" not in body_of(attachments=[file(cid="logo")])["attachments"][0]


@pytest.mark.parametrize(
    ("name", "kind", "sent"),
    [
        ("a.pdf", "application/octet-stream", None),
        ("a.txt", "image/png", None),
        ("a", "image/png", "image/png"),
        ("a.unheard-of", "application/x-own", "application/x-own"),
    ],
)
def test_request_file_whose_name_contradicts_its_type_goes_by_its_name(name: str, kind: str, sent: str | None) -> None:
    assert body_of(attachments=[file(name, kind)])["attachments"][0].get("content_type") == sent


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (sms(), "email only"),
        (email(to="jörg@example.com"), "ASCII"),
        (email(cc=["jörg@example.com"]), "ASCII"),
    ],
)
def test_content_that_resend_cannot_carry_is_named(content: Any, says: str) -> None:
    assert says in (sender().cannot_express(content) or "")


def test_content_without_any_sender_is_named() -> None:
    assert "from" in (sender(from_=None).cannot_express(email()) or "")
    assert sender(from_=None).cannot_express(email(from_="me@example.com")) is None


def test_settings_webhook_secret_that_is_none_is_named() -> None:
    assert [fault.field for fault in faults(webhook_secret="whsec_???")] == ["credentials.webhook_secret"]
    assert faults() == []


def test_outcome_success_is_accepted_with_its_id() -> None:
    assert sender().outcome(reply(200, {"id": ID}), outgoing(email())) == Accepted(status_code=200, provider_id=ID)


def test_outcome_success_with_broken_body_is_accepted_without_id() -> None:
    assert sender().outcome(reply(200, b'{"id": "49'), outgoing(email())) == Accepted(status_code=200)


def test_outcome_success_as_web_page_is_unknown() -> None:
    assert sender().outcome(reply(200, b"<html>", "text/html"), outgoing(email())).kind is Outcome.UNKNOWN


@pytest.mark.parametrize(("status", "name", "meaning"), [(*key, meaning) for key, meaning in MEANINGS.items()])
def test_outcome_listed_name_decides(status: int, name: str, meaning: Meaning) -> None:
    outcome = sender().outcome(reply(status, error(status, name, "no mail for ada@example.com")), outgoing(email()))
    assert (outcome.kind, outcome.status_code, outcome.error_code) == (KINDS[meaning], status, name)
    assert outcome.error == "no mail for [address]"


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (400, "something_new", Outcome.MESSAGE_REJECTED),
        (401, None, Outcome.ACCOUNT_HALTED),
        (403, None, Outcome.ACCOUNT_HALTED),
        (409, None, Outcome.MESSAGE_REJECTED),
        (422, None, Outcome.MESSAGE_REJECTED),
        (429, None, Outcome.THROTTLED),
        (500, "application_error", Outcome.UNKNOWN),
        (500, "internal_server_error", Outcome.UNKNOWN),
        (500, "validation_error", Outcome.UNKNOWN),
        (503, None, Outcome.UNKNOWN),
    ],
)
def test_outcome_without_listed_name_is_read_by_status(status: int, name: str | None, kind: Outcome) -> None:
    assert sender().outcome(reply(status, error(status, name)), outgoing(email())).kind is kind


def test_outcome_missing_user_agent_halts_the_account() -> None:
    outcome = sender().outcome(reply(403, b"error code: 1010", "text/plain"), outgoing(email()))
    assert (outcome.kind, outcome.error) == (Outcome.ACCOUNT_HALTED, "HTTP 403")


@pytest.mark.parametrize("name", ["validation_error", "invalid_from_address"])
def test_outcome_refused_sender_of_the_message_spares_the_account(name: str) -> None:
    content = email(from_="other@example.com")
    assert sender().outcome(reply(403, error(403, name)), outgoing(content)).kind is Outcome.MESSAGE_REJECTED


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "3", "ratelimit_reset": "9"}, 3.0),
        ({"ratelimit_reset": "9"}, 9.0),
        ({"ratelimit_reset": "soon"}, None),
        ({}, None),
    ],
)
def test_outcome_throttled_waits_until_the_rate_window_ends(headers: dict[str, str], seconds: float | None) -> None:
    outcome = sender().outcome(reply(429, error(429, "rate_limit_exceeded"), **headers), outgoing(email()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == seconds


@pytest.mark.parametrize(
    ("name", "retry_after", "seconds"),
    [
        ("daily_quota_exceeded", "1", 3600.0),
        ("daily_quota_exceeded", "7200", 7200.0),
        ("monthly_quota_exceeded", "1", 21_600.0),
    ],
)
def test_outcome_used_up_quota_rests_the_account_for_long(name: str, retry_after: str, seconds: float) -> None:
    outcome = sender().outcome(reply(429, error(429, name), retry_after=retry_after), outgoing(email()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == seconds


def batch(*ids: str) -> list[Any]:
    return [outgoing(email(to=f"{identity}@example.com"), id=identity) for identity in ids]


def test_batch_request_is_what_resend_documents() -> None:
    speaks: BatchSender = sender()
    assert speaks.capability.max_batch == 100
    request = sender().batch_request(batch("msg_1", "msg_2"))
    assert str(request.url) == "https://api.resend.com/emails/batch"
    assert request.headers["x-batch-validation"] == "strict"
    assert request.headers["idempotency-key"] == "batch/" + hashlib.sha256(b"msg_1\nmsg_2").hexdigest()
    assert [item["to"] for item in orjson.loads(request.content)] == [["msg_1@example.com"], ["msg_2@example.com"]]


def test_batch_request_key_stands_for_these_messages_in_this_order() -> None:
    keys = [
        sender().batch_request(batch(*ids)).headers["idempotency-key"]
        for ids in (("a", "b"), ("a", "b"), ("b", "a"), ("a",), ("a", "b", "c"))
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert all(len(key) <= 256 for key in keys)


def test_batch_takes_what_its_endpoint_takes() -> None:
    assert sender().batchable(email())
    assert not sender().batchable(email(attachments=[file()]))
    assert not sender().batchable(email(html="x" * 100_001))
    assert not sender().batchable(sms())


def test_batch_outcomes_have_an_id_each() -> None:
    answer = reply(200, {"data": [{"id": "a"}, {"id": "b"}]})
    assert sender().batch_outcomes(answer, batch("msg_1", "msg_2")) == [
        Accepted(status_code=200, provider_id="a"),
        Accepted(status_code=200, provider_id="b"),
    ]


@pytest.mark.parametrize("body", [b'{"data": [{"id"', {}, {"data": {}}, {"data": [None, 1]}])
def test_batch_outcomes_without_readable_ids_are_accepted(body: object) -> None:
    assert sender().batch_outcomes(reply(200, body), batch("a", "b")) == [Accepted(status_code=200)] * 2


@pytest.mark.parametrize("ids", [[], ["a"], ["a", "b", "c"]])
def test_batch_outcomes_of_another_number_are_unknown(ids: list[str]) -> None:
    answer = reply(200, {"data": [{"id": identity} for identity in ids]})
    assert {one.kind for one in sender().batch_outcomes(answer, batch("a", "b"))} == {Outcome.UNKNOWN}


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (401, "missing_api_key", Outcome.ACCOUNT_HALTED),
        (409, "concurrent_idempotent_requests", Outcome.UNKNOWN),
        (409, "invalid_idempotent_request", Outcome.ACCEPTED),
        (429, "rate_limit_exceeded", Outcome.THROTTLED),
        (500, "internal_server_error", Outcome.UNKNOWN),
    ],
)
def test_batch_outcomes_of_the_whole_request_are_those_of_each(status: int, name: str, kind: Outcome) -> None:
    outcomes = sender().batch_outcomes(reply(status, error(status, name)), batch("a", "b"))
    assert [outcome.kind for outcome in outcomes] == [kind, kind]


def test_batch_outcomes_refused_content_is_the_same_for_each() -> None:
    answer = reply(422, error(422, "validation_error", "Invalid `to` field."))
    refused = MessageRejected(status_code=422, error_code="validation_error", error="Invalid `to` field.")
    assert sender().batch_outcomes(answer, batch("a", "b")) == [refused, refused]


def test_batch_outcomes_refused_sender_halts_the_account_only_where_it_is_everybodys() -> None:
    answer = reply(403, error(403, "validation_error"))
    own, other = outgoing(email()), outgoing(email(from_="other@example.com"))
    for messages, kind in (([own, own], Outcome.ACCOUNT_HALTED), ([own, other], Outcome.MESSAGE_REJECTED)):
        assert [one.kind for one in sender().batch_outcomes(answer, messages)] == [kind, kind]
