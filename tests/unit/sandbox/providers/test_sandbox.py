"""The sandbox's own API checks a request in one pass, and knows a repeat by its key."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from httpx import Headers

from devstack.sandbox.providers.contract import Call, Refused, Submission
from devstack.sandbox.providers.sandbox import SandboxProvider

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "channel": "email",
    "to": "Ada <ada@example.com>",
    "from": "hello@example.com",
    "content": {"subject": "Hi", "text": "Hello"},
    "attempt": 1,
}
HEADERS = {"Authorization": "Bearer key", "Content-Type": "application/json", "Idempotency-Key": "msg_1"}


def submit(message: object = MESSAGE, headers: dict[str, str] = HEADERS) -> Submission:
    body = message if isinstance(message, bytes) else orjson.dumps(message)
    return SandboxProvider().check(Call("POST", "/v1/messages", Headers(headers), body))


def refused(message: object = MESSAGE, headers: dict[str, str] = HEADERS) -> tuple[int, str]:
    with pytest.raises(Refused) as refusal:
        submit(message, headers)
    body = orjson.loads(refusal.value.reply.body)
    assert list(body) == ["error"]
    assert set(body["error"]) == {"code", "message"}
    return refusal.value.reply.status, body["error"]["code"]


def test_message_is_complete_becomes_an_entry() -> None:
    submission = submit()
    (entry,) = submission.entries
    assert submission.provider_id.startswith("sbx_")
    assert (entry.message_id, entry.channel, entry.to, entry.subject, entry.text) == (
        "msg_1",
        "email",
        ("ada@example.com",),
        "Hi",
        "Hello",
    )


def test_message_is_accepted_answers_its_id_and_whether_it_is_a_replay() -> None:
    provider, submission = SandboxProvider(), submit()
    first = provider.accepted(submission, "sbx_1", repeated=False)
    again = provider.accepted(submission, "sbx_1", repeated=True)
    assert (first.status, first.body, dict(first.headers)) == (202, b'{"id":"sbx_1"}', {})
    assert (again.status, again.body, dict(again.headers)) == (202, b'{"id":"sbx_1"}', {"idempotent-replayed": "true"})


def test_content_has_copies_files_and_headers_keeps_them() -> None:
    content = {
        "subject": "Hi",
        "html": "<p>Hello</p>",
        "cc": ["cc@example.com"],
        "bcc": ["Bob <bcc@example.com>"],
        "headers": {"X-K": "v"},
        "reply_to": "reply@example.com",
        "attachments": [{"filename": "a.txt", "content_type": "text/plain", "content_base64": "QUJD"}],
    }
    entry = submit(MESSAGE | {"content": content}).entries[0]
    assert entry.to == ("ada@example.com", "cc@example.com", "bcc@example.com")
    assert entry.headers["X-K"] == "v"
    assert entry.headers["reply_to"] == "reply@example.com"
    assert [attachment.content for attachment in entry.attachments] == [b"ABC"]


@pytest.mark.parametrize(
    ("channel", "to", "content", "recipient"),
    [
        ("sms", "+14155550100", {"body": "Hello"}, "+14155550100"),
        ("sms", "+14155550100", {"media_urls": ["https://example.com/x.png"]}, "+14155550100"),
        ("whatsapp", "+14155550100", {"template": {"name": "hello", "language": "en"}}, "+14155550100"),
        ("push", "device-1", {"title": "Hello"}, "device-1"),
        (
            "push",
            {"endpoint": "https://push.example.com/1", "keys": {}},
            {"data": {"k": 1}},
            "https://push.example.com/1",
        ),
    ],
)
def test_channel_is_served_reads_its_recipient(channel: str, to: object, content: object, recipient: str) -> None:
    message = MESSAGE | {"channel": channel, "to": to, "content": content, "from": None}
    assert submit(message).entries[0].to == (recipient,)


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer bad-key", "Basic a2V5"])
def test_key_is_missing_or_bad_answers_401(authorization: str) -> None:
    assert refused(headers=HEADERS | {"Authorization": authorization}) == (401, "unauthorized")


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": 1},
        {"channel": "fax"},
        {"channel": ["email"]},
        {"from": 1},
        {"attempt": 0},
        {"attempt": "1"},
        {"attempt": True},
        {"content": "Hello"},
        {"content": {}},
        {"content": {"text": "Hello"}},
        {"content": {"subject": "Hi"}},
        {"content": {"subject": "Hi", "text": 1}},
        {"content": {"subject": "Hi", "text": "x", "headers": {"X": 1}}},
        {"content": {"subject": "Hi", "text": "x", "attachments": [{"filename": "a", "content_base64": "!"}]}},
        {"channel": "sms", "to": "+14155550100", "content": {"body": "x", "media_urls": ["ftp://example.com/x"]}},
    ],
)
def test_message_is_wrong_answers_invalid_message(change: dict[str, Any]) -> None:
    assert refused(MESSAGE | change) == (422, "invalid_message")


@pytest.mark.parametrize(
    "change",
    [
        {"to": "ada"},
        {"to": None},
        {"to": "+14155550100"},
        {"channel": "sms", "content": {"body": "x"}},
        {"channel": "push", "content": {"body": "x"}, "to": {}},
        {"content": {"subject": "Hi", "text": "x", "cc": ["nobody"]}},
    ],
)
def test_recipient_is_wrong_answers_invalid_recipient(change: dict[str, Any]) -> None:
    assert refused(MESSAGE | change) == (422, "invalid_recipient")


@pytest.mark.parametrize("body", [b"", b"[]", b"{"])
def test_body_is_no_object_answers_invalid_message(body: bytes) -> None:
    assert refused(body) == (422, "invalid_message")


def test_idempotency_key_is_too_long_answers_invalid_message() -> None:
    assert refused(headers=HEADERS | {"Idempotency-Key": "x" * 256}) == (422, "invalid_message")
