"""Resend's webhooks: Svix's signature, in both directions with Svix's own library, and every word of the table."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson
import pytest
from svix.webhooks import Webhook

from devstack.sandbox.entry import Entry
from devstack.sandbox.providers.contract import Target
from devstack.sandbox.providers.resend import Resend
from hermod.channels.email.resend.receipts import WORDS, ResendReceipts
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.ports.notifications.receipts import Callback, Event, ReceiptContext, SignatureInvalid, Unreadable
from tests.unit.channels.receipt_suite import MESSAGE, URL, ReceiptConformance
from tests.unit.channels.samples import CREDENTIALS, NOW, account

SECRET = CREDENTIALS["resend"]["webhook_secret"]


async def fetch(url: str) -> bytes:
    raise AssertionError(url)


def signed(body: bytes, *, secret: str = SECRET, identity: str = "msg_1", now: datetime = NOW) -> dict[str, str]:
    """The headers as Svix's own library makes them."""
    return {
        "svix-id": identity,
        "svix-timestamp": str(int(now.timestamp())),
        "svix-signature": Webhook(secret).sign(identity, now, body.decode()),
    }


async def read(body: bytes, headers: dict[str, str], now: datetime = NOW, secret: str = SECRET) -> tuple[Event, ...]:
    call = Callback(method="POST", url=URL.format(provider="resend"), headers=headers, body=body)
    known = account("resend", credentials=CREDENTIALS["resend"] | {"webhook_secret": secret})
    return (await ResendReceipts().read(call, known, ReceiptContext(now=now, fetch=fetch))).events


async def told(event: str, **data: Any) -> Event:
    body = orjson.dumps({"type": event, "created_at": "2026-11-22T11:59:58.000Z", "data": data})
    (found,) = await read(body, signed(body))
    return found


class TestResendReceipts(ReceiptConformance):
    provider: ClassVar = "resend"
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
        }
    )
    SECRETS: ClassVar = ("webhook_secret",)

    def entry(self) -> Entry:
        return Entry(
            provider="resend",
            channel="email",
            message_id=MESSAGE,
            provider_message_id="49a3999c-0ce1-4ea6-ab68-afcd6dc2e794",
            sender="News <news@example.com>",
            to=("ada@example.com",),
            subject="Hello",
        )

    def other_secret(self, name: str) -> str:
        return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()

    def malformed(self, call: Callback) -> Callback:
        body = b'{"type":'
        return Callback(method=call.method, url=call.url, headers=signed(body), body=body)


async def test_signature_of_the_documented_vector_fits() -> None:
    body = b'{"type":"email.delivered"}'
    at = datetime.fromtimestamp(1795219200, UTC)
    headers = {
        "svix-id": "msg_1",
        "svix-timestamp": "1795219200",
        "svix-signature": "v1,xvwe0hMzxUkg61LZyXAYaGr9hbDT5gHDQIDhKJgemGI=",
    }
    secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
    (event,) = await read(body, headers, at, secret)
    assert (event.id, event.kind) == ("msg_1", ReceiptEventType.DELIVERED)
    with pytest.raises(SignatureInvalid):
        await read(body + b"\n", headers, at, secret)


def test_signature_of_the_sandbox_passes_svixs_own_check() -> None:
    entry = TestResendReceipts().entry()
    call = Resend().report(entry, "bounced", Target(URL, {"webhook_secret": SECRET}, datetime.now(UTC)))
    assert call is not None
    Webhook(SECRET).verify(call.body, dict(call.headers))


async def test_signature_of_svixs_own_library_passes_ours() -> None:
    event = await told("email.delivered", email_id="e_1", tags={"hermod_message_id": MESSAGE}, to=["a@example.com"])
    assert (event.id, event.message_id, event.provider_message_id) == ("msg_1", MESSAGE, "e_1")
    assert event.at == datetime(2026, 11, 22, 11, 59, 58, tzinfo=UTC)


async def test_signature_among_several_counts_if_one_fits() -> None:
    body = b'{"type":"email.sent"}'
    headers = signed(body)
    wrong = "v1," + base64.b64encode(b"x" * 32).decode()
    for several in (f"{wrong} {headers['svix-signature']}", f"{headers['svix-signature']} v1a,other"):
        assert len(await read(body, headers | {"svix-signature": several})) == 1
    for none in (wrong, f"{wrong} {wrong}", headers["svix-signature"].replace("v1,", "v2,"), "v1,", "", "v1,é"):
        with pytest.raises(SignatureInvalid):
            await read(body, headers | {"svix-signature": none})


@pytest.mark.parametrize("name", ["svix-id", "svix-timestamp", "svix-signature"])
async def test_header_missing_or_twice_is_forged(name: str) -> None:
    body = b'{"type":"email.sent"}'
    headers = signed(body)
    twice = headers | {name: f"{headers[name]}, {headers[name]}"}
    without = {key: value for key, value in headers.items() if key != name}
    with pytest.raises(SignatureInvalid):
        await read(body, without)
    if name != "svix-signature":
        with pytest.raises(SignatureInvalid):
            await read(body, twice)


@pytest.mark.parametrize("seconds", ["", "soon", "1e9", "-1", " 1795219200", "٣", "1" * 30])
async def test_time_that_is_none_is_forged(seconds: str) -> None:
    body = b'{"type":"email.sent"}'
    with pytest.raises(SignatureInvalid):
        await read(body, signed(body) | {"svix-timestamp": seconds})


@pytest.mark.parametrize(("word", "kind"), WORDS.items())
async def test_word_is_read_by_the_table(word: str, kind: ReceiptEventType) -> None:
    name, _, bounce = word.partition("/")
    event = await told(name, **({"bounce": {"type": bounce}} if bounce else {}))
    assert (event.word, event.kind) == (word, kind)


@pytest.mark.parametrize(
    ("bounce", "word", "kind"),
    [
        ({"type": "Permanent", "subType": "NoEmail"}, "email.bounced/Permanent", ReceiptEventType.BOUNCED),
        ({"type": "Transient"}, "email.bounced/Transient", ReceiptEventType.SOFT_BOUNCED),
        ({"type": "Undetermined"}, "email.bounced/Undetermined", ReceiptEventType.SOFT_BOUNCED),
        ({"message": "as it was told of old"}, "email.bounced", ReceiptEventType.SOFT_BOUNCED),
        ("nonsense", "email.bounced", ReceiptEventType.SOFT_BOUNCED),
    ],
)
async def test_bounce_counts_against_the_address_only_where_it_is_permanent(
    bounce: object, word: str, kind: ReceiptEventType
) -> None:
    event = await told("email.bounced", bounce=bounce)
    assert (event.word, event.kind) == (word, kind)


async def test_bounce_says_why_without_the_address() -> None:
    bounce = {"type": "Permanent", "subType": "NoEmail", "message": "550 <ada@example.com>: unknown\nuser"}
    event = await told("email.bounced", bounce=bounce, to=["Ada <ada@example.com>"])
    assert (event.code, event.text, event.address) == ("NoEmail", "550 <[address]>: unknown user", "ada@example.com")


async def test_address_of_an_event_with_several_recipients_is_unknown() -> None:
    assert (await told("email.bounced", to=["a@example.com", "b@example.com"])).address is None


@pytest.mark.parametrize("event", ["contact.updated", "email.teleported", "suppression.added"])
async def test_word_that_is_not_known_is_kept_as_unknown(event: str) -> None:
    found = await told(event, id="c_1")
    assert (found.kind, found.word) == (ReceiptEventType.UNKNOWN, event)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"type":""}', b'{"type":7}', b"\xff"])
async def test_body_that_is_no_event_is_unreadable(body: bytes) -> None:
    headers = signed(b"") if body == b"\xff" else signed(body)
    if body == b"\xff":
        with pytest.raises(SignatureInvalid):
            await read(body, headers)
        return
    with pytest.raises(Unreadable):
        await read(body, headers)
