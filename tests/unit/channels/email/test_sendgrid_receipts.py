"""SendGrid's Event Webhook: the official vector, batches, and every word of the tables."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devstack.sandbox.entry import Entry
from hermod.channels.email.sendgrid.receipts import DROPPED, WORDS, SendGridReceipts, verification_key
from hermod.channels.email.sendgrid.sender import SendGridSender
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.ports.notifications.receipts import Callback, Event, ReceiptContext, SignatureInvalid, Unreadable
from tests.unit.channels.receipt_suite import MESSAGE, URL, ReceiptConformance
from tests.unit.channels.samples import CREDENTIALS, NOW, account, wiring

KEY = ec.generate_private_key(ec.SECP256R1())
OFFICIAL_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6w"
    "EA3F+g=="
)
OFFICIAL_SIGNATURE = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
OFFICIAL_EVENT = {
    "email": "hello@world.com",
    "event": "dropped",
    "reason": "Bounced Address",
    "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
    "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
    "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
    "timestamp": 1600112492,
}
OFFICIAL_BODY = orjson.dumps([OFFICIAL_EVENT], option=orjson.OPT_SORT_KEYS) + b"\r\n"
OFFICIAL_TIME = datetime.fromtimestamp(1600112502, UTC)


def public(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def headers_of(timestamp: str, signature: str) -> dict[str, str]:
    prefix = "x-twilio-email-event-webhook-"
    return {f"{prefix}timestamp": timestamp, f"{prefix}signature": signature}


def signed(body: bytes) -> dict[str, str]:
    timestamp = str(int(NOW.timestamp()))
    signature = KEY.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
    return headers_of(timestamp, base64.b64encode(signature).decode())


async def fetch(url: str) -> bytes:
    raise AssertionError(url)


async def read(
    body: bytes, headers: dict[str, str], now: datetime = NOW, key: str = public(KEY.public_key())
) -> tuple[Event, ...]:
    call = Callback(method="POST", url=URL.format(provider="sendgrid"), headers=headers, body=body)
    known = account("sendgrid", credentials=CREDENTIALS["sendgrid"] | {"webhook_public_key": key})
    return (await SendGridReceipts().read(call, known, ReceiptContext(now=now, fetch=fetch))).events


async def told(**fields: Any) -> Event:
    body = orjson.dumps([{"email": "ada@example.com", "timestamp": 1795219200, "sg_event_id": "e_1"} | fields])
    (event,) = await read(body, signed(body))
    return event


class TestSendGridReceipts(ReceiptConformance):
    provider: ClassVar = "sendgrid"
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
            ReceiptEventType.RESUBSCRIBED,
        }
    )
    SECRETS: ClassVar = ("webhook_public_key",)
    DISTANT: ClassVar = (timedelta(hours=-26), timedelta(hours=2))

    def entry(self) -> Entry:
        return Entry(
            provider="sendgrid",
            channel="email",
            message_id=MESSAGE,
            provider_message_id="LRzXl_NHStOGhQ4kofSm_A",
            sender="News <news@example.com>",
            to=("ada@example.com",),
            subject="Hello",
        )

    def other_secret(self, name: str) -> str:
        return public(KEY.public_key())


async def test_signature_of_the_official_vector_fits() -> None:
    headers = headers_of("1600112502", OFFICIAL_SIGNATURE)
    (event,) = await read(OFFICIAL_BODY, headers, OFFICIAL_TIME, OFFICIAL_KEY)
    assert event == Event(
        id="ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
        kind=ReceiptEventType.SUPPRESSED,
        word="dropped/Bounced Address",
        at=datetime.fromtimestamp(1600112492, UTC),
        provider_message_id="LRzXl_NHStOGhQ4kofSm_A",
        address="hello@world.com",
        text="Bounced Address",
    )


@pytest.mark.parametrize(
    ("body", "timestamp", "signature"),
    [
        (OFFICIAL_BODY.rstrip(), "1600112502", OFFICIAL_SIGNATURE),
        (OFFICIAL_BODY, "1600112503", OFFICIAL_SIGNATURE),
        (OFFICIAL_BODY, "1600112502", OFFICIAL_SIGNATURE[:-8] + "AAAAAAA="),
        (OFFICIAL_BODY, "1600112502", "not base64 é"),
        (OFFICIAL_BODY, "1600112502", ""),
        (OFFICIAL_BODY, "", OFFICIAL_SIGNATURE),
        (OFFICIAL_BODY, "now", OFFICIAL_SIGNATURE),
        (OFFICIAL_BODY, "1600112502, 1600112502", OFFICIAL_SIGNATURE),
    ],
)
async def test_signature_of_something_else_is_forged(body: bytes, timestamp: str, signature: str) -> None:
    with pytest.raises(SignatureInvalid):
        await read(body, headers_of(timestamp, signature), OFFICIAL_TIME, OFFICIAL_KEY)


@pytest.mark.parametrize(
    ("hours", "believed"), [(-24.9, False), (-0.05, True), (0.0, True), (24.9, True), (25.1, False)]
)
async def test_signature_counts_for_as_long_as_sendgrid_calls_again(hours: float, believed: bool) -> None:
    """The call of the vector, read so many hours after it was signed."""
    headers, now = headers_of("1600112502", OFFICIAL_SIGNATURE), OFFICIAL_TIME + timedelta(hours=hours)
    if believed:
        assert len(await read(OFFICIAL_BODY, headers, now, OFFICIAL_KEY)) == 1
    else:
        with pytest.raises(SignatureInvalid):
            await read(OFFICIAL_BODY, headers, now, OFFICIAL_KEY)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "key",
        "MFkw",
        public(ec.generate_private_key(ec.SECP384R1()).public_key()),
        public(rsa.generate_private_key(65537, 2048).public_key()),
    ],
)
def test_key_that_is_not_sendgrids_is_named(key: str) -> None:
    assert verification_key(key) is None
    faults = list(SendGridSender.check({"api_key": "SG.k", "webhook_public_key": key or "?"}, None, wiring().guard))
    assert [fault.field for fault in faults] == ["credentials.webhook_public_key"]


async def test_batch_is_read_in_its_order() -> None:
    events = [
        {"event": "delivered", "sg_event_id": "e_1", "hermod_message_id": MESSAGE, "response": "250 OK"},
        {"event": "open", "sg_event_id": "e_2"},
        {"event": "bounce", "type": "bounce", "sg_event_id": "e_3", "status": "5.1.1", "reason": "no <a@b.example>"},
    ]
    body = orjson.dumps(events)
    read_events = await read(body, signed(body))
    assert [(event.id, event.kind) for event in read_events] == [
        ("e_1", ReceiptEventType.DELIVERED),
        ("e_2", ReceiptEventType.OPENED),
        ("e_3", ReceiptEventType.BOUNCED),
    ]
    assert read_events[0].message_id == MESSAGE
    assert (read_events[2].code, read_events[2].text) == ("5.1.1", "no <[address]>")


async def test_batch_that_is_empty_holds_nothing() -> None:
    assert await read(b"[]", signed(b"[]")) == ()


@pytest.mark.parametrize(("word", "kind"), WORDS.items())
async def test_word_is_read_by_the_table(word: str, kind: ReceiptEventType) -> None:
    name, _, bounce = word.partition("/")
    event = await told(event=name, **({"type": bounce} if bounce else {}))
    assert (event.word, event.kind) == (word, kind)


@pytest.mark.parametrize(("reason", "kind"), DROPPED.items())
async def test_dropped_is_read_by_its_reason(reason: str, kind: ReceiptEventType) -> None:
    event = await told(event="dropped", reason=reason)
    assert (event.word, event.kind, event.text) == (f"dropped/{reason}", kind, reason)


async def test_dropped_for_a_reason_that_is_not_known_is_held_against_nobody() -> None:
    event = await told(event="dropped", reason="bounced address of ada@example.com")
    assert (event.word, event.kind, event.text) == ("dropped", ReceiptEventType.FAILED, "bounced address of [address]")


async def test_bounce_of_a_type_that_is_not_known_is_held_against_nobody() -> None:
    event = await told(event="bounce", type="returned")
    assert (event.word, event.kind) == ("bounce/returned", ReceiptEventType.SOFT_BOUNCED)


@pytest.mark.parametrize(("fields", "word"), [({"event": "account_status_change"}, "account_status_change"), ({}, "?")])
async def test_word_that_is_not_known_is_kept_as_unknown(fields: dict[str, str], word: str) -> None:
    event = await told(**fields)
    assert (event.kind, event.word) == (ReceiptEventType.UNKNOWN, word)


async def test_event_without_an_id_gets_one_of_its_own() -> None:
    event = {"event": "open", "sg_event_id": None, "sg_message_id": "a.b", "email": "ada@example.com"}
    first, again, other = [await told(**event), await told(**event), await told(**event | {"event": "click"})]
    assert first.id == again.id != other.id
    assert "ada" not in first.id


@pytest.mark.parametrize("timestamp", [None, "1795219200", True, -1, 1e30])
async def test_event_at_no_readable_time_has_none(timestamp: object) -> None:
    assert (await told(event="open", timestamp=timestamp)).at is None


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"event": "open"}, null]', b"[{"])
async def test_body_that_is_no_array_of_events_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        await read(body, signed(body))
