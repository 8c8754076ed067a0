"""The sandbox adapter: its request to the byte, and its answers."""

from __future__ import annotations

import orjson
import pytest

from hermod.channels.sandbox.sender import SandboxSender
from hermod.contracts.notifications.content import Channel, Push, WhatsApp, WhatsAppTemplate
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, Throttled
from tests.unit.channels.samples import account, email, file, outgoing, reply, sms, wiring


def sender(channel: Channel = Channel.EMAIL) -> SandboxSender:
    return SandboxSender(account("sandbox", channel=channel), wiring())


def test_request_is_what_the_sandbox_documents() -> None:
    request = sender().request(outgoing(email(html="<p>Hi</p>", cc=["bob@example.com"]), attempt=2, request_id="req_9"))
    assert request.method == "POST"
    assert str(request.url) == "https://sandbox.example.com/sandbox/v1/messages"
    assert dict(request.headers) == {
        "content-type": "application/json",
        "authorization": "Bearer sandbox-key",
        "idempotency-key": "msg_1",
        "x-request-id": "req_9",
    }
    assert request.content == (
        b'{"id":"msg_1","channel":"email","to":"ada@example.com","from":"News <news@example.com>","content":'
        b'{"subject":"Hello","html":"<p>Hi</p>","text":"Hi Ada","cc":["bob@example.com"]},"attempt":2}'
    )


def test_request_without_request_id_has_no_such_header() -> None:
    assert "x-request-id" not in sender().request(outgoing(email())).headers


def test_request_carries_attachments() -> None:
    body = orjson.loads(sender().request(outgoing(email(attachments=[file(cid="doc")]))).content)
    assert body["content"]["attachments"] == [
        {"filename": "a.pdf", "content_type": "application/pdf", "content_base64": "JVBERg==", "content_id": "doc"}
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            sms(media_urls=["https://example.com/a.png"]),
            {"body": "Hi Ada", "media_urls": ["https://example.com/a.png"]},
        ),
        (Push(to="token-1", title="Hi", data={"order": 7}), {"title": "Hi", "data": {"order": 7}}),
        (
            WhatsApp(to="+14155550100", template=WhatsAppTemplate(name="hello", language="en")),
            {"template": {"name": "hello", "language": "en"}},
        ),
    ],
)
def test_request_carries_every_channel(content: Push, expected: dict[str, object]) -> None:
    body = orjson.loads(sender(Channel(content.channel)).request(outgoing(content)).content)
    assert body["channel"] == content.channel
    assert body["to"] == content.to
    assert body["content"] == expected


def test_request_to_a_push_subscription_keeps_its_object() -> None:
    subscription = {"endpoint": "https://push.example.com/1", "keys": {"auth": "a", "p256dh": "b"}}
    body = orjson.loads(sender(Channel.PUSH).request(outgoing(Push(to=subscription, title="Hi"))).content)
    assert body["to"] == subscription
    assert body["from"] is None


def test_outcome_202_is_accepted_with_its_id() -> None:
    outcome = sender().outcome(reply(202, {"id": "sbx_1"}), outgoing(email()))
    assert outcome == Accepted(status_code=202, provider_id="sbx_1")


@pytest.mark.parametrize("body", [b"", b'{"id": "sbx', b"garbage", b'{"id": 7}'])
def test_outcome_202_without_readable_id_is_accepted_without_it(body: bytes) -> None:
    assert sender().outcome(reply(202, body), outgoing(email())) == Accepted(status_code=202)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (422, "invalid_recipient", Outcome.RECIPIENT_REJECTED),
        (422, "invalid_message", Outcome.MESSAGE_REJECTED),
        (422, "something_new", Outcome.MESSAGE_REJECTED),
        (401, "unauthorized", Outcome.ACCOUNT_HALTED),
        (429, "throttled", Outcome.THROTTLED),
        (404, "not_found", Outcome.ACCOUNT_HALTED),
        (500, "internal_error", Outcome.UNKNOWN),
        (503, "unavailable", Outcome.UNKNOWN),
        (503, "invalid_recipient", Outcome.UNKNOWN),
    ],
)
def test_outcome_error_is_read_by_status_and_code(status: int, code: str, kind: Outcome) -> None:
    body = {"error": {"code": code, "message": "ada@example.com is unknown"}}
    outcome = sender().outcome(reply(status, body), outgoing(email()))
    assert (outcome.kind, outcome.status_code, outcome.error_code) == (kind, status, code)
    assert outcome.error == "[address] is unknown"


def test_outcome_throttled_takes_retry_after() -> None:
    outcome = sender().outcome(reply(429, {"error": {"code": "throttled"}}, retry_after="3"), outgoing(email()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 3.0


def test_outcome_gateway_page_is_not_quoted() -> None:
    outcome = sender().outcome(reply(502, b"<html>Bad gateway</html>", "text/html"), outgoing(email()))
    assert (outcome.kind, outcome.error) == (Outcome.UNKNOWN, "HTTP 502")
