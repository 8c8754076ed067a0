"""Elastic Email: the request to the byte, and every row of how its answers are read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hermod.channels.email.elasticemail.codes import HALTING_WORDS
from hermod.channels.email.elasticemail.sender import ElasticEmailSender
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted
from tests.unit.channels.samples import CREDENTIALS, account, email, file, outgoing, reply, sms, wiring


def sender(**changes: Any) -> ElasticEmailSender:
    return ElasticEmailSender(account("elasticemail", **changes), wiring())


def body_of(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(sender().request(outgoing(email(**changes))).content)
    return body


def outcome_of(status: int, body: object = b"", *, attempt: int = 1, **headers: str) -> Any:
    return sender().outcome(reply(status, body, **headers), outgoing(email(), attempt=attempt))


def test_request_is_what_elasticemail_documents() -> None:
    request = sender().request(outgoing(email(html="<p>Hi</p>"), request_id="req_1"))
    assert request.method == "POST"
    assert str(request.url) == "https://api.elasticemail.com/v4/emails/transactional"
    assert dict(request.headers) == {
        "content-type": "application/json",
        "accept": "application/json",
        "x-elasticemail-apikey": "KEY-OF-THE-ACCOUNT",
        "idempotency-key": "msg_1",
        "x-request-id": "req_1",
    }
    assert request.content == (
        b'{"Recipients":{"To":["ada@example.com"]},"Content":{"From":"News <news@example.com>","Subject":"Hello",'
        b'"Body":[{"ContentType":"HTML","Content":"<p>Hi</p>","Charset":"utf-8"},'
        b'{"ContentType":"PlainText","Content":"Hi Ada","Charset":"utf-8"}],"Postback":"msg_1"}}'
    )


def test_request_repeated_is_the_same_to_the_byte() -> None:
    content = email(html="<img src='cid:logo'>", headers={"X-A": "1"}, attachments=[file(), file("l.png", cid="logo")])
    first, second = (sender().request(outgoing(content, attempt=attempt)) for attempt in (1, 2))
    assert first.content == second.content
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_request_names_everybody_once() -> None:
    body = body_of(
        to="Zoë <zoe@bücher.example>",
        cc=["bob@example.com", "ZOE@xn--bcher-kva.example"],
        bcc=["carl@example.com", "BOB@example.com"],
        reply_to="Büro <office@example.com>",
    )
    assert body["Recipients"] == {
        "To": ["Zoë <zoe@xn--bcher-kva.example>"],
        "CC": ["bob@example.com"],
        "BCC": ["carl@example.com"],
    }
    assert body["Content"]["ReplyTo"] == "Büro <office@example.com>"


def test_request_merges_nothing() -> None:
    body = body_of(text="Dear {firstname}", headers={"X-A": "{b}"})
    assert body["Content"]["Body"][0]["Content"] == "Dear {firstname}"
    assert body["Content"]["Headers"] == {"X-A": "{b}"}
    assert not {"Merge", "TemplateName"} & body["Content"].keys()


def test_request_image_is_shown_under_the_name_of_its_file() -> None:
    html = '<img src="cid:logo"><img src="cid:logo2"><img src="cid:full.png"> cid:unknown'
    body = body_of(
        html=html,
        attachments=[
            file(),
            file("Größe 1.png", "image/png", b"png", "logo"),
            file("two.JPG", "image/jpeg", b"jpg", "logo2"),
            file("any.png", "image/png", b"png", "full.png"),
            file("noending", "image/png", b"png", "bare"),
        ],
    )
    assert body["Content"]["Body"][0]["Content"] == (
        '<img src="cid:logo.png"><img src="cid:logo2.JPG"><img src="cid:full.png"> cid:unknown'
    )
    assert [item["Name"] for item in body["Content"]["Attachments"]] == [
        "a.pdf",
        "logo.png",
        "logo2.JPG",
        "full.png",
        "bare",
    ]
    assert body["Content"]["Attachments"][0] == {
        "BinaryContent": "JVBERg==",
        "Name": "a.pdf",
        "ContentType": "application/pdf",
    }


def test_request_image_that_no_html_shows_keeps_its_name() -> None:
    assert body_of(attachments=[file(cid="logo")])["Content"]["Attachments"][0]["Name"] == "a.pdf"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (sms(), "email only"),
        (email(cc=[f"{number}@example.com" for number in range(50)]), "50 recipients"),
        (email(html="€" * 2_000_000, text="€" * 2_000_000, attachments=[file(data=b"x" * 10_000_000)]), "20 MiB"),
    ],
)
def test_content_that_elasticemail_cannot_carry_is_named(content: Any, says: str) -> None:
    assert says in (sender().cannot_express(content) or "")


def test_content_without_any_sender_is_named() -> None:
    assert "from" in (sender(from_=None).cannot_express(email()) or "")
    assert sender(from_=None).cannot_express(email(from_="me@example.com")) is None


def test_settings_token_that_can_be_guessed_is_named() -> None:
    guard = wiring().guard
    for token, fields in (("secret", ["credentials.webhook_token"]), ("x" * 16, [])):
        faults = ElasticEmailSender.check(CREDENTIALS["elasticemail"] | {"webhook_token": token}, None, guard)
        assert [fault.field for fault in faults] == fields


def test_outcome_success_is_accepted_with_its_message_id() -> None:
    body = {"TransactionID": "t", "MessageID": "m"}
    assert outcome_of(200, body) == Accepted(status_code=200, provider_id="m")
    assert outcome_of(200, body, idempotency_replayed="true") == Accepted(status_code=200, provider_id="m")


def test_outcome_success_with_broken_body_is_accepted_without_id() -> None:
    assert outcome_of(200, b'{"Mess') == Accepted(status_code=200)


@pytest.mark.parametrize("sentence", sorted(HALTING_WORDS))
def test_outcome_key_that_does_not_work_halts_the_account(sentence: str) -> None:
    outcome = outcome_of(400, {"Error": sentence})
    assert (outcome.kind, outcome.error_code, outcome.error) == (Outcome.ACCOUNT_HALTED, sentence, sentence)


@pytest.mark.parametrize("sentence", ["APIKey Expired?", "Your APIKey Expired", "access denied.", ""])
def test_outcome_sentence_that_only_resembles_one_refuses_the_message(sentence: str) -> None:
    assert outcome_of(400, {"Error": sentence}).kind is Outcome.MESSAGE_REJECTED


@pytest.mark.parametrize(
    ("status", "attempt", "kind"),
    [
        (400, 1, Outcome.MESSAGE_REJECTED),
        (401, 1, Outcome.ACCOUNT_HALTED),
        (404, 1, Outcome.ACCOUNT_HALTED),
        (409, 1, Outcome.UNKNOWN),
        (409, 2, Outcome.UNKNOWN),
        (412, 1, Outcome.ACCOUNT_HALTED),
        (413, 1, Outcome.MESSAGE_REJECTED),
        (422, 1, Outcome.MESSAGE_REJECTED),
        (422, 2, Outcome.UNKNOWN),
        (429, 1, Outcome.THROTTLED),
        (500, 1, Outcome.UNKNOWN),
        (502, 1, Outcome.UNKNOWN),
        (503, 1, Outcome.UNKNOWN),
    ],
)
def test_outcome_error_is_read_by_status(status: int, attempt: int, kind: Outcome) -> None:
    outcome = outcome_of(status, {"Error": "no mail for ada@example.com"}, attempt=attempt)
    assert (outcome.kind, outcome.status_code, outcome.error) == (kind, status, "no mail for [address]")
    assert outcome.error_code is None


def test_outcome_throttled_takes_retry_after_where_there_is_one() -> None:
    assert outcome_of(429, retry_after="9").retry_after == 9.0
    assert outcome_of(429).retry_after is None
