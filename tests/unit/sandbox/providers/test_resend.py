"""The sandbox's Resend takes what the vendor takes, and refuses the rest in the vendor's words."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from httpx import Headers

from devstack.sandbox.exchange import Exchange
from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.faults import FaultBoard
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.providers.contract import Call, Refused, Reply, Submission
from devstack.sandbox.providers.resend import Resend

EMAIL: dict[str, Any] = {
    "from": "News <news@example.com>",
    "to": ["Ada <ada@example.com>"],
    "cc": ["bob@example.com"],
    "bcc": ["carl@example.com"],
    "reply_to": ["office@example.com"],
    "subject": "Hello",
    "text": "Hi Ada",
    "html": "<p>Hi Ada</p>",
    "headers": {"X-A": "1"},
    "tags": [{"name": "hermod_message_id", "value": "msg_1"}],
}
HEADERS = {
    "Authorization": "Bearer re_key",
    "Content-Type": "application/json",
    "User-Agent": "Hermod",
    "Idempotency-Key": "msg_1",
}


def call(body: object = EMAIL, *, path: str = "/emails", method: str = "POST", **changes: str | None) -> Call:
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    headers = {name: value for name, value in (HEADERS | named).items() if value is not None}
    return Call(method, path, Headers(headers), body if isinstance(body, bytes) else orjson.dumps(body))


def submit(*arguments: Any, **changes: Any) -> Submission:
    return Resend().check(call(*arguments, **changes))


def refused(*arguments: Any, **changes: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as refusal:
        submit(*arguments, **changes)
    reply = refusal.value.reply
    body = orjson.loads(reply.body)
    assert set(body) == {"statusCode", "name", "message"}
    assert body["statusCode"] == reply.status
    assert "ratelimit-reset" in reply.headers
    return reply.status, body["name"]


def numbered(*numbers: int, **changes: Any) -> list[dict[str, Any]]:
    tag = "hermod_message_id"
    return [EMAIL | {"tags": [{"name": tag, "value": f"msg_{number}"}]} | changes for number in numbers]


class AtResend:
    """An exchange with an inbox of its own."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self._exchange = Exchange(Resend(), self.inbox, FaultBoard(self.inbox.counts), asyncio.Event())

    async def send(self, *arguments: Any, **changes: Any) -> tuple[int, Any]:
        reply = await self._exchange.answer(call(*arguments, **changes))
        assert isinstance(reply, Reply)
        return reply.status, orjson.loads(reply.body)

    def repeats(self) -> list[int]:
        entries = (self.inbox.get(number) for number in range(1, len(self.inbox) + 1))
        return [entry.repeats for entry in entries if entry is not None]


def test_email_is_complete_becomes_an_entry() -> None:
    submission = submit()
    (entry,) = submission.entries
    assert (entry.message_id, entry.provider_message_id) == ("msg_1", submission.provider_id)
    assert entry.to == ("ada@example.com", "bob@example.com", "carl@example.com")
    assert entry.headers == {
        "From": "News <news@example.com>",
        "To": "Ada <ada@example.com>",
        "Cc": "bob@example.com",
        "Reply-To": "office@example.com",
        "X-A": "1",
    }


def test_email_is_accepted_answers_with_its_id() -> None:
    submission = submit()
    reply = Resend().accepted(submission, submission.provider_id, repeated=False)
    assert (reply.status, orjson.loads(reply.body)) == (200, {"id": submission.provider_id})


def test_request_has_no_user_agent_meets_the_gate() -> None:
    with pytest.raises(Refused) as refusal:
        submit(User_Agent=None)
    assert refusal.value.reply[:3] == (403, b"error code: 1010", "text/plain; charset=UTF-8")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Authorization": None}, (401, "missing_api_key")),
        ({"Authorization": "Bearer key"}, (403, "invalid_api_key")),
        ({"Authorization": "Bearer re_bad"}, (403, "invalid_api_key")),
        ({"Content_Type": "text/plain"}, (422, "validation_error")),
        ({"Idempotency_Key": "x" * 257}, (400, "invalid_idempotency_key")),
        ({"Idempotency_Key": ""}, (400, "invalid_idempotency_key")),
        ({"path": "/email"}, (404, "not_found")),
        ({"method": "PUT"}, (405, "method_not_allowed")),
    ],
)
def test_request_is_wrong_gets_resends_error(changes: dict[str, Any], expected: tuple[int, str]) -> None:
    assert refused(**changes) == expected


INVALID = (422, "validation_error")
MISSING = (422, "missing_required_field")
ATTACHMENT = (422, "invalid_attachment")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"replyTo": "a@example.com"}, INVALID),
        ({"from": ""}, MISSING),
        ({"from": "nobody"}, (422, "invalid_from_address")),
        ({"to": []}, MISSING),
        ({"to": ["Zoë <zoë@example.com>"]}, INVALID),
        ({"to": ["a@example.com"] * 51}, INVALID),
        ({"cc": {}}, INVALID),
        ({"subject": ""}, MISSING),
        ({"html": ""}, INVALID),
        ({"template": {"id": "t"}}, INVALID),
        ({"headers": {"X-A": 1}}, INVALID),
        ({"headers": {"X A": "1"}}, INVALID),
        ({"headers": []}, INVALID),
        ({"tags": {"hermod_message_id": "msg_1"}}, INVALID),
        ({"tags": [{"name": "id", "value": "ümlaut"}]}, INVALID),
        ({"tags": [{"name": "id", "value": "x" * 257}]}, INVALID),
        ({"tags": [{"name": "id"}]}, INVALID),
        ({"attachments": [{"filename": "a.pdf"}]}, ATTACHMENT),
        ({"attachments": [{"filename": "a.pdf", "content": "%"}]}, ATTACHMENT),
        ({"attachments": [{"content": "JVBERg=="}]}, ATTACHMENT),
        ({"attachments": [{"filename": "a.pdf", "content": "JVBERg==", "type": "application/pdf"}]}, ATTACHMENT),
        ({"attachments": [{"filename": "a.pdf", "content": "JVBERg==", "content_type": "image/png"}]}, ATTACHMENT),
        ({"attachments": {}}, ATTACHMENT),
    ],
)
def test_email_is_wrong_gets_resends_error(changes: dict[str, Any], expected: tuple[int, str]) -> None:
    assert refused(EMAIL | changes) == expected


def test_email_has_no_words_is_refused() -> None:
    assert refused({key: value for key, value in EMAIL.items() if key not in ("html", "text")}) == INVALID


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"'])
def test_body_is_no_email_is_refused(body: bytes) -> None:
    assert refused(body)[1] == "validation_error"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], INVALID),
        (EMAIL, INVALID),
        (numbered(*range(101)), INVALID),
        (numbered(1, scheduled_at="2026-11-22T10:00:00Z"), INVALID),
        (numbered(1, attachments=[{"filename": "a.pdf", "content": "JVBERg=="}]), INVALID),
        ([*numbered(1), EMAIL | {"to": []}], MISSING),
    ],
)
def test_batch_is_wrong_is_refused_as_a_whole(body: object, expected: tuple[int, str]) -> None:
    assert refused(body, path="/emails/batch") == expected


def test_batch_asks_for_permissive_validation_is_not_understood() -> None:
    assert refused(numbered(1), path="/emails/batch", x_batch_validation="permissive") == (422, "invalid_parameter")


async def test_batch_is_accepted_answers_with_an_id_each() -> None:
    resend = AtResend()
    status, body = await resend.send(numbered(1, 2, 3), path="/emails/batch", x_batch_validation="strict")
    assert status == 200
    ids = [item["id"] for item in body["data"]]
    assert len(set(ids)) == 3
    entries = [resend.inbox.of_provider_id(identity) for identity in ids]
    assert [entry and entry.message_id for entry in entries] == ["msg_1", "msg_2", "msg_3"]


async def test_batch_is_repeated_answers_with_the_same_ids() -> None:
    resend = AtResend()
    first = await resend.send(numbered(1, 2), path="/emails/batch", Idempotency_Key="batch/1")
    assert await resend.send(numbered(1, 2), path="/emails/batch", Idempotency_Key="batch/1") == first
    assert resend.repeats() == [1, 1]
    assert resend.inbox.counts["resend"].repeated == 1


async def test_batch_of_one_is_answered_as_a_list() -> None:
    _, body = await AtResend().send(numbered(1), path="/emails/batch")
    assert [*body] == ["data"]


async def test_key_is_used_for_another_body_is_refused() -> None:
    resend = AtResend()
    await resend.send()
    status, body = await resend.send(EMAIL | {"subject": "Another"})
    assert (status, body["name"]) == (409, "invalid_idempotent_request")
    assert len(resend.inbox) == 1


async def test_key_belongs_to_its_endpoint() -> None:
    resend = AtResend()
    await resend.send()
    status, _ = await resend.send(numbered(1), path="/emails/batch")
    assert status == 200
    assert len(resend.inbox) == 2


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        (FaultName.THROTTLE, 429, "rate_limit_exceeded"),
        (FaultName.ERROR_500, 500, "internal_server_error"),
        (FaultName.ERROR_503, 503, "application_error"),
        (FaultName.BAD_CREDENTIALS, 403, "invalid_api_key"),
        (FaultName.REJECTED_RECIPIENT, 422, "validation_error"),
        (FaultName.REJECTED_MESSAGE, 422, "validation_error"),
    ],
)
def test_fault_is_worded_as_resend_does(fault: FaultName, status: int, name: str) -> None:
    reply = Resend().refusal(Fault(fault, retry_after=3), submit())
    assert (reply.status, orjson.loads(reply.body)["name"]) == (status, name)
    assert reply.headers.get("retry-after") == ("3" if fault is FaultName.THROTTLE else None)
