"""The sandbox's Elastic Email takes what the vendor takes, and refuses the rest in one sentence."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import orjson
import pytest
from httpx import Headers

from devstack.sandbox.exchange import Exchange
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.faults import FaultBoard
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.providers.contract import Call, Refused, Reply, Submission
from devstack.sandbox.providers.elasticemail import ElasticEmail

IMAGE = b"\x89PNG"
CONTENT: dict[str, Any] = {
    "From": "News <news@example.com>",
    "ReplyTo": "office@example.com",
    "Subject": "Hello",
    "Body": [
        {"ContentType": "HTML", "Content": '<img src="cid:logo.png">', "Charset": "utf-8"},
        {"ContentType": "PlainText", "Content": "Hi Ada", "Charset": "utf-8"},
    ],
    "Headers": {"X-A": "1"},
    "Postback": "msg_1",
    "Attachments": [
        {"BinaryContent": base64.b64encode(IMAGE).decode(), "Name": "logo.png", "ContentType": "image/png"},
        {"BinaryContent": base64.b64encode(b"%PDF").decode(), "Name": "a.pdf", "ContentType": "application/pdf"},
    ],
}
EMAIL: dict[str, Any] = {
    "Recipients": {"To": ["Ada <ada@example.com>"], "CC": ["bob@example.com"], "BCC": ["carl@example.com"]},
    "Content": CONTENT,
}
HEADERS = {"X-ElasticEmail-ApiKey": "key", "Content-Type": "application/json", "Idempotency-Key": "msg_1"}


def call(
    body: object = EMAIL, *, path: str = "/v4/emails/transactional", method: str = "POST", **changes: str | None
) -> Call:
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    headers = {name: value for name, value in (HEADERS | named).items() if value is not None}
    return Call(method, path, Headers(headers), body if isinstance(body, bytes) else orjson.dumps(body))


def submit(*arguments: Any, **changes: Any) -> Submission:
    return ElasticEmail().check(call(*arguments, **changes))


def refused(*arguments: Any, **changes: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as refusal:
        submit(*arguments, **changes)
    body = orjson.loads(refusal.value.reply.body)
    assert [*body] == ["Error"]
    return refusal.value.reply.status, body["Error"]


def test_email_is_complete_becomes_an_entry() -> None:
    submission = submit()
    (entry,) = submission.entries
    assert (entry.message_id, entry.provider_message_id) == ("msg_1", submission.provider_id)
    assert entry.to == ("ada@example.com", "bob@example.com", "carl@example.com")
    assert (entry.text, entry.html) == ("Hi Ada", '<img src="cid:logo.png">')
    assert {name: value for name, value in entry.headers.items() if name != "TransactionID"} == {
        "From": "News <news@example.com>",
        "To": "Ada <ada@example.com>",
        "Cc": "bob@example.com",
        "Reply-To": "office@example.com",
        "X-A": "1",
    }


def test_attachment_is_shown_under_its_name_only() -> None:
    assert [(file.filename, file.content_id) for file in submit().entries[0].attachments] == [
        ("logo.png", "logo.png"),
        ("a.pdf", None),
    ]
    html = [{"ContentType": "HTML", "Content": '<img src="cid:logo">'}]
    assert submit(EMAIL | {"Content": CONTENT | {"Body": html}}).entries[0].attachments[0].content_id is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"X_ElasticEmail_ApiKey": None}, (400, "APIKey Expired")),
        ({"X_ElasticEmail_ApiKey": "bad"}, (400, "APIKey Expired")),
        ({"Content_Type": "text/plain"}, (400, "The Content-Type must be application/json.")),
        ({"Idempotency_Key": "x" * 256}, (400, "Idempotency-Key must have 1 to 255 characters.")),
        ({"path": "/v4/emails"}, (404, "Not found.")),
        ({"method": "GET"}, (404, "Not found.")),
        ({"body": b"{"}, (400, "The request is not JSON.")),
    ],
)
def test_request_is_wrong_gets_a_sentence(changes: dict[str, Any], expected: tuple[int, str]) -> None:
    assert refused(**changes) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"recipients": {"To": ["a@example.com"]}},
        {"Recipients": []},
        {"Recipients": {"To": []}},
        {"Recipients": {"to": ["a@example.com"]}},
        {"Recipients": {"To": "a@example.com"}},
        {"Recipients": {"To": ["nobody"]}},
        {"Recipients": {"To": [{"Email": "a@example.com"}]}},
        {"Content": None},
        {"Options": {"TimeOffset": 50_401}},
        {"Options": {"Priority": 1}},
        {"Content": CONTENT | {"From": "nobody"}},
        {"Content": CONTENT | {"ReplyTo": ["a@example.com"]}},
        {"Content": CONTENT | {"Subject": 1}},
        {"Content": CONTENT | {"Postback": 1}},
        {"Content": CONTENT | {"subject": "Hello"}},
        {"Content": CONTENT | {"Headers": {"X-A": 1}}},
        {"Content": CONTENT | {"Headers": [{"X-A": "1"}]}},
        {"Content": CONTENT | {"Body": []}},
        {"Content": CONTENT | {"Body": [{"ContentType": "text/html", "Content": "x"}]}},
        {"Content": CONTENT | {"Body": [{"ContentType": "HTML"}]}},
        {"Content": CONTENT | {"Attachments": [{"BinaryContent": "%", "Name": "a"}]}},
        {"Content": CONTENT | {"Attachments": [{"BinaryContent": "JVBERg=="}]}},
        {"Content": CONTENT | {"Attachments": [{"BinaryContent": "JVBERg==", "Name": "a", "ContentId": "a"}]}},
    ],
)
def test_email_is_wrong_is_refused(changes: dict[str, Any]) -> None:
    assert refused(EMAIL | changes)[0] == 400


def test_email_has_too_many_recipients_gets_413() -> None:
    people = [f"{number}@example.com" for number in range(51)]
    assert refused(EMAIL | {"Recipients": {"To": people}}) == (
        413,
        "You cannot provide more than 50 transactional recipients",
    )


async def test_key_is_used_again_answers_the_same_or_refuses() -> None:
    inbox = Inbox()
    exchange = Exchange(ElasticEmail(), inbox, FaultBoard(inbox.counts), asyncio.Event())
    first, again = await exchange.answer(call()), await exchange.answer(call())
    other = await exchange.answer(call(EMAIL | {"Options": {"TrackOpens": False}}))
    assert isinstance(first, Reply)
    assert isinstance(again, Reply)
    assert isinstance(other, Reply)
    assert [*orjson.loads(first.body)] == ["TransactionID", "MessageID"]
    assert (again.body, again.headers) == (first.body, {"Idempotency-Replayed": "true"})
    assert other.status == 422
    assert len(inbox) == 1


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (FaultName.THROTTLE, 429),
        (FaultName.ERROR_500, 500),
        (FaultName.ERROR_503, 503),
        (FaultName.BAD_CREDENTIALS, 400),
        (FaultName.REJECTED_RECIPIENT, 400),
        (FaultName.REJECTED_MESSAGE, 400),
    ],
)
def test_fault_is_one_sentence(fault: FaultName, status: int) -> None:
    reply = ElasticEmail().refusal(Fault(fault, retry_after=2.5), submit())
    assert (reply.status, [*orjson.loads(reply.body)]) == (status, ["Error"])
    assert reply.headers == {"Retry-After": "3"}
