"""Mailgun's webhooks: whose they are, and every row of what they mean."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson
import pytest

from devstack.sandbox.entry import Entry
from hermod.channels.email.mailgun.receipts import OLDEST, WORDS, MailgunReceipts
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.ports.notifications.receipts import Callback, Event, ReceiptContext, SignatureInvalid, Unreadable
from tests.unit.channels import samples
from tests.unit.channels.receipt_suite import MESSAGE, URL, ReceiptConformance

KEY = samples.CREDENTIALS["mailgun"]["webhook_signing_key"]
TOKEN = "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0"
VECTOR = {
    "timestamp": "1529006854",
    "token": TOKEN,
    "signature": "a4aa5558dda1bdd45f39600cf45ad25006c9fa7980b210160d6df1e9c70160f5",
}
MESSAGE_ID = "20261122115958.1.02d3a4b5c6d7e8f9@mail.example.com"
FAILED: dict[str, Any] = {
    "event": "failed",
    "id": "G9Bn5sl1TC6nu79C8C0bwg",
    "timestamp": 1795348798.507025,
    "log-level": "error",
    "severity": "permanent",
    "reason": "bounce",
    "recipient": "ada@example.com",
    "user-variables": {"hermod_message_id": MESSAGE},
    "message": {"headers": {"message-id": MESSAGE_ID, "to": "ada@example.com"}, "size": 111},
    "delivery-status": {
        "code": 550,
        "message": "5.1.1 <ada@example.com> does not exist",
        "description": "",
        "tls": True,
    },
}


class TestMailgunReceipts(ReceiptConformance):
    provider: ClassVar = "mailgun"
    HAPPENINGS: ClassVar = frozenset(
        {
            ReceiptEventType.ACCEPTED,
            ReceiptEventType.DELIVERED,
            ReceiptEventType.DEFERRED,
            ReceiptEventType.BOUNCED,
            ReceiptEventType.SOFT_BOUNCED,
            ReceiptEventType.SUPPRESSED,
            ReceiptEventType.FAILED,
            ReceiptEventType.COMPLAINED,
            ReceiptEventType.OPENED,
            ReceiptEventType.CLICKED,
            ReceiptEventType.UNSUBSCRIBED,
        }
    )
    SECRETS: ClassVar = ("webhook_signing_key",)
    SIGNS_BODY: ClassVar = False
    DISTANT: ClassVar = (timedelta(hours=-10), timedelta(hours=2))

    def entry(self) -> Entry:
        return Entry(
            provider="mailgun",
            channel="email",
            message_id=MESSAGE,
            provider_message_id=MESSAGE_ID,
            sender="News <news@mail.example.com>",
            to=("ada@example.com",),
            subject="Hello",
        )

    def malformed(self, call: Callback) -> Callback | None:
        body = {**orjson.loads(call.body), "event-data": []}
        return Callback(method=call.method, url=call.url, headers=call.headers, body=orjson.dumps(body))


def signature(*, now: datetime = samples.NOW, token: str = TOKEN) -> dict[str, str]:
    timestamp = str(int(now.timestamp()))
    digest = hmac.new(KEY.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": digest}


async def events(
    data: object = FAILED, *, signed: object = None, now: datetime = samples.NOW, key: str = KEY
) -> tuple[Event, ...]:
    body = {"signature": signed or signature(), "event-data": data}
    call = Callback(method="POST", url=URL.format(provider="mailgun"), headers={}, body=orjson.dumps(body))
    credentials = samples.CREDENTIALS["mailgun"] | {"webhook_signing_key": key}

    async def fetch(url: str) -> bytes:
        raise AssertionError(url)

    account = samples.account("mailgun", credentials=credentials)
    return (await MailgunReceipts().read(call, account, ReceiptContext(now=now, fetch=fetch))).events


async def test_signature_of_the_vector_is_mailguns() -> None:
    at = datetime.fromtimestamp(1529006854, UTC)
    (event,) = await events(signed=VECTOR, now=at, key="test-signing-key")
    assert event.id == TOKEN
    for name in VECTOR:
        with pytest.raises(SignatureInvalid):
            await events(signed=VECTOR | {name: VECTOR[name][::-1]}, now=at, key="test-signing-key")


async def test_event_holds_what_mailgun_says() -> None:
    assert await events() == (
        Event(
            id=TOKEN,
            kind=ReceiptEventType.BOUNCED,
            word="failed/permanent/bounce",
            at=datetime.fromtimestamp(1795348798.507025, UTC),
            message_id=MESSAGE,
            provider_message_id=MESSAGE_ID,
            address="ada@example.com",
            code="550",
            text="5.1.1 <[address]> does not exist",
        ),
    )


@pytest.mark.parametrize("word", sorted(WORDS))
async def test_word_is_read_as_the_table_says(word: str) -> None:
    event, severity, reason = [*word.split("/"), None, None][:3]
    (found,) = await events({"event": event, "severity": severity, "reason": reason})
    assert (found.kind, found.word) == (WORDS[word], word)


@pytest.mark.parametrize(
    ("data", "word", "kind"),
    [
        (
            {"event": "failed", "severity": "permanent", "reason": "new"},
            "failed/permanent/new",
            ReceiptEventType.FAILED,
        ),
        ({"event": "failed", "severity": "temporary", "reason": "greylisted"}, None, ReceiptEventType.DEFERRED),
        ({"event": "failed", "severity": "other", "reason": "bounce"}, "failed/other/bounce", ReceiptEventType.UNKNOWN),
        ({"event": "failed"}, "failed", ReceiptEventType.UNKNOWN),
        ({"event": "stored"}, "stored", ReceiptEventType.UNKNOWN),
        ({"event": "delivered", "severity": "permanent", "reason": "bounce"}, "delivered", ReceiptEventType.DELIVERED),
    ],
)
async def test_word_that_is_not_listed_is_read_by_what_is_known_of_it(
    data: dict[str, str], word: str | None, kind: ReceiptEventType
) -> None:
    (found,) = await events(data)
    assert found.kind is kind
    assert word is None or found.word == word


async def test_event_of_a_rejected_message_says_why() -> None:
    (event,) = await events({"event": "rejected", "reject": {"reason": "Free accounts\nare for tests"}})
    assert event.text == "Free accounts are for tests"


@pytest.mark.parametrize("message_id", [MESSAGE_ID, f"<{MESSAGE_ID}>"])
async def test_event_names_the_message_as_sending_did(message_id: str) -> None:
    (event,) = await events(FAILED | {"message": {"headers": {"message-id": message_id}}})
    assert event.provider_message_id == MESSAGE_ID


async def test_event_put_in_the_place_of_another_is_a_repeat_of_it() -> None:
    (first,) = await events()
    (second,) = await events({"event": "delivered"})
    assert first.id == second.id
    (other,) = await events(signed=signature(token="b" * 50))
    assert other.id != first.id


async def test_token_that_is_too_long_for_an_id_is_shortened() -> None:
    (event,) = await events(signed=signature(token="t" * 500))
    assert len(event.id) == 64


@pytest.mark.parametrize(
    "data",
    [
        {"event": "failed", "message": [], "user-variables": "x", "delivery-status": 1, "timestamp": "now"},
        {"event": "opened", "message": {"headers": {"message-id": ""}}, "user-variables": {"hermod_message_id": 1}},
    ],
)
async def test_event_of_strange_shapes_is_still_an_event(data: dict[str, Any]) -> None:
    (event,) = await events(data)
    assert (event.at, event.message_id, event.provider_message_id, event.text) == (None, None, None, None)


@pytest.mark.parametrize(
    ("age", "taken"),
    [
        (OLDEST, True),
        (OLDEST + timedelta(seconds=1), False),
        (-timedelta(minutes=5), True),
        (-timedelta(minutes=6), False),
    ],
)
async def test_call_may_be_as_old_as_mailgun_re_sends(age: timedelta, taken: bool) -> None:
    signed = signature(now=samples.NOW - age)
    if taken:
        assert len(await events(signed=signed)) == 1
        return
    with pytest.raises(SignatureInvalid):
        await events(signed=signed)


@pytest.mark.parametrize(
    "signed",
    [
        [],
        {"timestamp": 1, "token": TOKEN, "signature": "0"},
        signature() | {"signature": ""},
        signature() | {"signature": "ü"},
        signature() | {"token": ""},
        {"timestamp": signature()["timestamp"] + TOKEN[0], "token": TOKEN[1:], "signature": signature()["signature"]},
        {name: value for name, value in signature().items() if name != "token"},
    ],
)
async def test_call_without_a_right_signature_is_forged(signed: object) -> None:
    with pytest.raises(SignatureInvalid):
        await events(signed=signed or [1])


@pytest.mark.parametrize("data", [None, [], "x", {}, {"event": None}])
async def test_call_without_an_event_is_unreadable(data: object) -> None:
    with pytest.raises(Unreadable):
        await events(data)
