"""Postmark: the request's shape, alone and in a batch, and every row of how its answers are read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hermod.channels.email.postmark.codes import MEANINGS, Meaning
from hermod.channels.email.postmark.sender import PostmarkSender
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, Fault, OutcomeUnknown, RecipientRejected, Throttled
from hermod.outbound.addresses.guard import AddressGuard
from tests.unit.channels.samples import CREDENTIALS, account, email, file, outgoing, reply, sms, wiring

OUTCOMES = {
    Meaning.LISTED: Outcome.RECIPIENT_REJECTED,
    Meaning.MESSAGE: Outcome.MESSAGE_REJECTED,
    Meaning.SENDER: Outcome.ACCOUNT_HALTED,
    Meaning.ACCOUNT: Outcome.ACCOUNT_HALTED,
    Meaning.TRANSIENT: Outcome.TRANSIENT,
}
MEGABYTE = 1024 * 1024


def sender(**changes: Any) -> PostmarkSender:
    return PostmarkSender(account("postmark", **changes), wiring())


def mail(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(sender().request(outgoing(email(**changes))).content)
    return body


def credentials(**changes: str) -> dict[str, str]:
    return {**CREDENTIALS["postmark"], **changes}


def refused(code: int, message: str = "no") -> dict[str, Any]:
    return {"ErrorCode": code, "Message": message}


def taken(number: int) -> dict[str, Any]:
    return {"To": "ada@example.com", "MessageID": f"id-{number}", "ErrorCode": 0, "Message": "OK"}


def test_request_is_what_postmark_documents() -> None:
    request = sender().request(outgoing(email(html="<p>Hi</p>"), request_id="req_1"))
    assert request.method == "POST"
    assert str(request.url) == "https://api.postmarkapp.com/email"
    assert dict(request.headers) == {
        "content-type": "application/json",
        "accept": "application/json",
        "x-postmark-server-token": CREDENTIALS["postmark"]["server_token"],
        "x-request-id": "req_1",
    }
    assert orjson.loads(request.content) == {
        "From": "News <news@example.com>",
        "To": "ada@example.com",
        "Subject": "Hello",
        "HtmlBody": "<p>Hi</p>",
        "TextBody": "Hi Ada",
        "MessageStream": "outbound",
        "Metadata": {"hermod_message_id": "msg_1"},
    }


def test_request_goes_through_the_stream_of_the_account() -> None:
    request = sender(credentials=credentials(message_stream="broadcast")).request(outgoing(email()))
    assert orjson.loads(request.content)["MessageStream"] == "broadcast"


def test_request_people_are_strings_and_nobody_gets_it_twice() -> None:
    body = mail(
        to='"Doe, Zoë" <zoe@bücher.example>',
        cc=["bob@example.com", "Carl <carl@example.com>"],
        bcc=["BOB@example.com", "dora@example.com"],
        reply_to="Büro <office@example.com>",
    )
    assert {name: body[name] for name in ("To", "Cc", "Bcc", "ReplyTo")} == {
        "To": '"Doe, Zoë" <zoe@xn--bcher-kva.example>',
        "Cc": "bob@example.com, Carl <carl@example.com>",
        "Bcc": "dora@example.com",
        "ReplyTo": "Büro <office@example.com>",
    }


def test_request_carries_headers_and_files() -> None:
    body = mail(
        html='<img src="cid:logo">',
        headers={"List-Unsubscribe": "<https://example.com/u/1>"},
        attachments=[file(), file("logo.png", "image/png", b"png", "logo")],
    )
    assert body["Headers"] == [{"Name": "List-Unsubscribe", "Value": "<https://example.com/u/1>"}]
    assert body["Attachments"] == [
        {"Name": "a.pdf", "Content": "JVBERg==", "ContentType": "application/pdf"},
        {"Name": "logo.png", "Content": "cG5n", "ContentType": "image/png", "ContentID": "cid:logo"},
    ]


def test_request_image_that_no_html_shows_is_an_attachment() -> None:
    assert "ContentID" not in mail(attachments=[file(cid="logo")])["Attachments"][0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (sms(), "email only"),
        (email(to="zoë@example.com"), "before the @"),
        (email(cc=[f"{n}@example.com" for n in range(50)]), "50 recipients at most"),
        (email(attachments=[file(data=b"x" * 8 * MEGABYTE)]), "10 MiB at most"),
        (email(html="€" * 1_900_000), "5 MiB of html and of text"),
        (email(text="€" * 1_900_000), "5 MiB of html and of text"),
        (email(html="€" * 1_700_000, attachments=[file(data=b"x" * 3 * MEGABYTE)]), None),
    ],
)
def test_content_that_postmark_cannot_carry_is_named(content: Any, says: str | None) -> None:
    fault = sender().cannot_express(content)
    assert (says in (fault or "")) if says else fault is None


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"message_stream": "my stream"}, "credentials.message_stream"),
        ({"webhook_username": "postmark"}, "credentials.webhook_password"),
        ({"webhook_password": "secret"}, "credentials.webhook_username"),
        ({"webhook_secret": "secret", "message_stream": "news-2"}, None),
    ],
)
def test_settings_that_do_not_fit_are_named(given: dict[str, str], field: str | None) -> None:
    faults = PostmarkSender.check({"server_token": "t", **given}, None, AddressGuard())
    assert [fault.field for fault in faults] == ([field] if field else [])


def test_outcome_success_is_accepted_with_its_id() -> None:
    assert sender().outcome(reply(200, taken(1)), outgoing(email())) == Accepted(status_code=200, provider_id="id-1")


def test_outcome_success_that_cannot_be_read_is_accepted_without_id() -> None:
    assert sender().outcome(reply(200, b'{"To": "a'), outgoing(email())) == Accepted(status_code=200)


@pytest.mark.parametrize("status", [200, 401, 422])
@pytest.mark.parametrize("code", sorted(MEANINGS))
def test_outcome_error_is_read_by_its_code(code: str, status: int) -> None:
    outcome = sender().outcome(reply(status, refused(int(code))), outgoing(email()))
    assert (outcome.kind, outcome.status_code, outcome.error_code) == (OUTCOMES[MEANINGS[code]], status, code)
    assert outcome.error == "no"


def test_outcome_inactive_recipient_is_on_postmarks_list() -> None:
    text = "Found inactive addresses: ada@example.com."
    outcome = sender().outcome(reply(422, refused(406, text)), outgoing(email()))
    assert outcome == RecipientRejected(
        status_code=422, error_code="406", error="Found inactive addresses: [address].", fault=Fault.LISTED
    )


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, None, Outcome.ACCOUNT_HALTED),
        (404, None, Outcome.ACCOUNT_HALTED),
        (413, None, Outcome.MESSAGE_REJECTED),
        (415, None, Outcome.MESSAGE_REJECTED),
        (422, 99999, Outcome.MESSAGE_REJECTED),
        (200, 99999, Outcome.MESSAGE_REJECTED),
        (429, 300, Outcome.THROTTLED),
        (500, 300, Outcome.UNKNOWN),
        (500, 406, Outcome.UNKNOWN),
        (503, None, Outcome.UNKNOWN),
        (503, 100, Outcome.TRANSIENT),
        (408, None, Outcome.UNKNOWN),
    ],
)
def test_outcome_other_errors_are_read_by_status(status: int, code: int | None, kind: Outcome) -> None:
    body = refused(code) if code is not None else {}
    outcome = sender().outcome(reply(status, body), outgoing(email()))
    assert (outcome.kind, outcome.error_code) == (kind, str(code) if code is not None else None)


@pytest.mark.parametrize("code", [400, 401])
def test_outcome_refused_sender_of_the_message_spares_the_account(code: int) -> None:
    outcome = sender().outcome(reply(422, refused(code)), outgoing(email(from_="me@example.com")))
    assert outcome.kind is Outcome.MESSAGE_REJECTED


def test_outcome_throttled_waits_as_long_as_it_is_told() -> None:
    outcome = sender().outcome(reply(429, refused(429), retry_after="4"), outgoing(email()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 4.0


def test_outcome_error_never_shows_the_token() -> None:
    token = CREDENTIALS["postmark"]["server_token"]
    outcome = sender().outcome(reply(401, refused(10, f"{token} is no token")), outgoing(email()))
    assert outcome.error == "[credential] is no token"


def test_batch_is_a_list_of_what_goes_alone() -> None:
    messages = [outgoing(email(), id="msg_1"), outgoing(email(to="bob@example.com"), id="msg_2", request_id="req_2")]
    batch = sender().batch_request(messages)
    assert str(batch.url) == "https://api.postmarkapp.com/email/batch"
    assert orjson.loads(batch.content) == [orjson.loads(sender().request(one).content) for one in messages]


@pytest.mark.parametrize(
    ("content", "fits"),
    [
        (email(), True),
        (email(html="x" * 98_000), True),
        (email(html="x" * 100_000), False),
        (email(html='"' * 60_000), False),
        (email(attachments=[file()]), True),
        (email(attachments=[file(data=b"x" * 80_000)]), False),
        (sms(), False),
    ],
)
def test_batch_takes_what_leaves_room_for_499_others(content: Any, fits: bool) -> None:
    assert sender().batchable(content) is fits


def test_batch_of_the_largest_messages_stays_below_what_a_request_may_hold() -> None:
    content = email(html="x" * 98_000, headers={f"X-{number}": "v" * 30 for number in range(20)})
    assert sender().batchable(content)
    messages = [outgoing(content, id=f"msg_019aa1c2d3e40123456789{number:06}") for number in range(500)]
    assert len(sender().batch_request(messages).content) <= 50_000_000


def test_batch_outcomes_are_those_of_its_messages() -> None:
    messages = [outgoing(email(), id=f"msg_{number}") for number in range(4)]
    answer = reply(200, [taken(0), refused(406), refused(300), taken(3)])
    outcomes = sender().batch_outcomes(answer, messages)
    assert [outcome.kind for outcome in outcomes] == [
        Outcome.ACCEPTED,
        Outcome.RECIPIENT_REJECTED,
        Outcome.MESSAGE_REJECTED,
        Outcome.ACCEPTED,
    ]
    assert outcomes[3] == Accepted(status_code=200, provider_id="id-3")


@pytest.mark.parametrize("body", [b"", b"[{", {}, [], [taken(0)], [taken(0), taken(1), taken(2)]])
def test_batch_answer_that_does_not_match_leaves_all_unknown(body: object) -> None:
    outcomes = sender().batch_outcomes(reply(200, body), [outgoing(email()), outgoing(email())])
    assert {outcome.kind for outcome in outcomes} == {Outcome.UNKNOWN}


def test_batch_answer_of_a_web_page_leaves_all_unknown() -> None:
    outcomes = sender().batch_outcomes(reply(200, b"<html>", "text/html"), [outgoing(email())])
    assert outcomes[0].kind is Outcome.UNKNOWN


@pytest.mark.parametrize("item", [None, 1, {}, {"MessageID": "id-1"}, {"ErrorCode": None}])
def test_batch_item_that_cannot_be_read_is_unknown_alone(item: object) -> None:
    first, second = sender().batch_outcomes(reply(200, [item, taken(1)]), [outgoing(email()), outgoing(email())])
    assert isinstance(first, OutcomeUnknown)
    assert isinstance(second, Accepted)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(401, 10, Outcome.ACCOUNT_HALTED), (429, 429, Outcome.THROTTLED), (500, 0, Outcome.UNKNOWN)],
)
def test_batch_refused_as_a_whole_is_so_for_each(status: int, code: int, kind: Outcome) -> None:
    outcomes = sender().batch_outcomes(reply(status, refused(code)), [outgoing(email()), outgoing(email())])
    assert [outcome.kind for outcome in outcomes] == [kind, kind]
