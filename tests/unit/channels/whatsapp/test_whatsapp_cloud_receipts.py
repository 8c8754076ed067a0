"""Meta's webhooks: the handshake, the signature, every word of the tables, and many events in one call."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson
import pytest

from devstack.sandbox.entry import Entry
from hermod.channels.whatsapp.whatsapp_cloud.codes import FAILURES, MEANINGS, STATUSES
from hermod.channels.whatsapp.whatsapp_cloud.kit import KIT
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.ports.notifications.receipts import (
    Answer,
    Callback,
    Event,
    ParsedReceipt,
    ReceiptContext,
    SignatureInvalid,
    Unreadable,
)
from tests.unit.channels import samples
from tests.unit.channels.receipt_suite import MESSAGE, ReceiptConformance

SECRET = "app-secret"
WAMID = "wamid.HBgLMTQxNTU1NTAxMDAVAgARGBI"
URL = "https://hermod.example.com/ingress/receipts/whatsapp_cloud/demo/main"
SHAKE = {"hub.mode": "subscribe", "hub.verify_token": "verify-me", "hub.challenge": "1158201444"}


def signed(body: bytes) -> Callback:
    made = hmac.new(SECRET.encode(), body, sha256).hexdigest()
    return Callback(method="POST", url=URL, headers={"x-hub-signature-256": f"sha256={made}"}, body=body)


def handshake(**changes: str) -> Callback:
    query = urlencode({name: value for name, value in (SHAKE | changes).items() if value})
    return Callback(method="GET", url=f"{URL}?{query}", headers={}, body=b"")


async def read(call: Callback, **credentials: str) -> ParsedReceipt:
    assert KIT.receipts is not None

    async def fetch(url: str) -> bytes:
        raise AssertionError(url)

    account = samples.account(
        "whatsapp_cloud", credentials={"app_secret": SECRET, "verify_token": "verify-me"} | credentials
    )
    return await KIT.receipts.read(call, account, ReceiptContext(now=samples.NOW, fetch=fetch))


async def events(*values: dict[str, Any]) -> list[Event]:
    changes = [{"field": "messages", "value": {"messaging_product": "whatsapp", **value}} for value in values]
    body = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}
    return list((await read(signed(orjson.dumps(body)))).events)


async def status(word: str = "sent", **more: Any) -> Event:
    said = {"id": WAMID, "status": word, "timestamp": "1700000000", "recipient_id": "14155550100", **more}
    (event,) = await events({"statuses": [said]})
    return event


class TestWhatsAppCloudReceipts(ReceiptConformance):
    provider: ClassVar = "whatsapp_cloud"
    HAPPENINGS: ClassVar = frozenset(
        {
            ReceiptEventType.ACCEPTED,
            ReceiptEventType.DELIVERED,
            ReceiptEventType.READ,
            ReceiptEventType.SOFT_BOUNCED,
            ReceiptEventType.FAILED,
            ReceiptEventType.UNSUBSCRIBED,
            ReceiptEventType.RESUBSCRIBED,
            ReceiptEventType.INBOUND,
        }
    )
    SECRETS: ClassVar = ("app_secret",)
    SIGNS_TIME: ClassVar = False
    STAND_ALONE: ClassVar = frozenset(
        {ReceiptEventType.INBOUND, ReceiptEventType.UNSUBSCRIBED, ReceiptEventType.RESUBSCRIBED}
    )

    def entry(self) -> Entry:
        return Entry(
            provider=self.provider,
            channel="whatsapp",
            message_id=MESSAGE,
            provider_message_id=WAMID,
            sender="106540352242922",
            to=("+14155550100",),
        )

    def malformed(self, call: Callback) -> Callback:
        made = hmac.new(self.account().credentials["app_secret"].encode(), b"[]", sha256).hexdigest()
        headers = dict(call.headers) | {"x-hub-signature-256": f"sha256={made}"}
        return Callback(method="POST", url=call.url, headers=headers, body=b"[]")

    async def test_report_names_number_and_time(self) -> None:
        for happening in self.HAPPENINGS:
            event = await self.event(happening)
            assert (event.address, event.at) == ("+14155550100", samples.NOW), happening
            assert "4155550100" not in event.id


async def test_signature_is_the_vectors() -> None:
    body = b'{"object":"whatsapp_business_account","entry":[]}'
    made = "sha256=d3e4f9da0ce6c71ab3dba55929b8eeeee2455349e534924ead19f98d143e904f"
    reading = await read(Callback(method="POST", url=URL, headers={"x-hub-signature-256": made}, body=body))
    assert reading == ParsedReceipt()


@pytest.mark.parametrize(
    "header",
    [
        "",
        "d3e4f9da0ce6c71ab3dba55929b8eeeee2455349e534924ead19f98d143e904f",
        "sha1=d3e4f9da0ce6c71ab3dba55929b8eeeee2455349e534924ead19f98d143e904f",
        "sha256=d3e4f9da0ce6c71ab3dba55929b8eeeee2455349e534924ead19f98d143e904f, sha256=0",
        "sha256=ü",
    ],
)
async def test_signature_of_another_form_is_forged(header: str) -> None:
    body = b'{"object":"whatsapp_business_account","entry":[]}'
    with pytest.raises(SignatureInvalid):
        await read(Callback(method="POST", url=URL, headers={"x-hub-signature-256": header}, body=body))


async def test_handshake_is_answered_with_the_challenge() -> None:
    assert await read(handshake()) == ParsedReceipt(answer=Answer(body=b"1158201444", content_type="text/plain"))


@pytest.mark.parametrize(
    "changes",
    [
        {"hub.verify_token": "other"},
        {"hub.verify_token": ""},
        {"hub.verify_token": "verify-mü"},
        {"hub.mode": "unsubscribe"},
        {"hub.challenge": ""},
    ],
)
async def test_handshake_that_is_wrong_is_forged(changes: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalid):
        await read(handshake(**changes))


async def test_handshake_without_a_token_of_ours_is_forged() -> None:
    with pytest.raises(SignatureInvalid):
        await read(handshake(), verify_token="")


async def test_handshake_with_two_tokens_is_forged() -> None:
    twice = Callback(method="GET", url=f"{handshake().url}&hub.verify_token=verify-me", headers={}, body=b"")
    with pytest.raises(SignatureInvalid):
        await read(twice)


@pytest.mark.parametrize("word", STATUSES)
async def test_status_is_read_by_the_table(word: str) -> None:
    event = await status(word, biz_opaque_callback_data=MESSAGE)
    assert (event.kind, event.word, event.id) == (STATUSES[word], word, f"{WAMID}:{word}")
    assert (event.message_id, event.provider_message_id, event.address) == (MESSAGE, WAMID, "+14155550100")
    assert event.at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


async def test_status_that_is_not_listed_is_unknown() -> None:
    assert (await status("warning")).kind is ReceiptEventType.UNKNOWN


@pytest.mark.parametrize("code", sorted({*FAILURES, *MEANINGS, "999999"} - {"131050"}))
async def test_failure_is_read_by_its_code(code: str) -> None:
    event = await status("failed", errors=[{"code": int(code), "title": "Undeliverable to 14155550100"}])
    assert (event.kind, event.code) == (FAILURES.get(code, ReceiptEventType.FAILED), code)
    assert (event.text, event.id) == ("Undeliverable to [number]", f"{WAMID}:failed:{code}")


async def test_failure_of_somebody_who_opted_out_says_both() -> None:
    said = {"id": WAMID, "status": "failed", "recipient_id": "14155550100", "errors": [{"code": 131050}]}
    failed, stopped = await events({"statuses": [said]})
    assert (failed.kind, stopped.kind) == (ReceiptEventType.FAILED, ReceiptEventType.UNSUBSCRIBED)
    assert failed.address == stopped.address == "+14155550100"
    assert failed.id != stopped.id


async def test_status_of_somebody_without_a_number_is_read() -> None:
    event = await status(recipient_id="US.13491208655302741918", timestamp="soon")
    assert (event.address, event.at) == (None, None)


async def test_status_with_a_long_id_gets_a_short_one() -> None:
    event = await status(id="wamid." + "x" * 300)
    assert len(event.id) <= 200
    assert event.provider_message_id == "wamid." + "x" * 300


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"type": "text", "text": {"body": "Stop."}}, "Stop."),
        ({"type": "button", "button": {"payload": "STOP", "text": "No more of these"}}, "STOP"),
        ({"type": "button", "button": {"payload": "promo-7", "text": "Stop"}}, "Stop"),
        ({"type": "button", "button": {"payload": "promo-7", "text": "More"}}, "More"),
        ({"type": "interactive", "interactive": {"button_reply": {"id": "STOP", "title": "No more"}}}, "STOP"),
        ({"type": "interactive", "interactive": {"list_reply": {"id": "7", "title": "Start"}}}, "Start"),
        ({"type": "image", "image": {"id": "1", "caption": "stop"}}, "stop"),
        ({"type": "image", "image": {"id": "1"}}, None),
        ({"type": "reaction", "reaction": {"emoji": "👍"}}, None),
        ({"type": "text", "text": "stop"}, None),
    ],
)
async def test_inbound_message_says_the_keyword_wherever_it_stands(message: dict[str, Any], words: str | None) -> None:
    (event,) = await events({"messages": [{"from": "14155550100", "id": WAMID, "timestamp": "1700000000", **message}]})
    assert (event.kind, event.words, event.address) == (ReceiptEventType.INBOUND, words, "+14155550100")
    assert (event.id, event.word, event.message_id) == (WAMID, message["type"], None)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("stop", ReceiptEventType.UNSUBSCRIBED),
        ("resume", ReceiptEventType.RESUBSCRIBED),
        ("maybe", ReceiptEventType.UNKNOWN),
    ],
)
async def test_preference_is_read_by_the_table(value: str, kind: ReceiptEventType) -> None:
    said = {"wa_id": "14155550100", "category": "marketing_messages", "value": value, "timestamp": 1700000000}
    (event,) = await events({"user_preferences": [said]})
    assert (event.kind, event.word, event.address) == (kind, f"user_preferences/{value}", "+14155550100")
    (later,) = await events({"user_preferences": [said | {"timestamp": 1700000001}]})
    assert later.id != event.id


async def test_call_with_many_changes_is_read_in_its_order() -> None:
    sent = {"id": "wamid.1", "status": "sent"}
    found = await events(
        {"statuses": [sent, {"id": "wamid.2", "status": "read"}], "messages": [{"id": "wamid.3"}]},
        {"statuses": [{"id": "wamid.4", "status": "failed"}]},
        {"message_template_id": 7},
    )
    assert [(event.provider_message_id, event.kind) for event in found] == [
        ("wamid.1", ReceiptEventType.ACCEPTED),
        ("wamid.2", ReceiptEventType.READ),
        ("wamid.3", ReceiptEventType.INBOUND),
        ("wamid.4", ReceiptEventType.FAILED),
    ]


async def test_call_with_broken_items_is_read_without_them() -> None:
    assert [
        event.provider_message_id for event in await events({"statuses": [1, {}, {"id": 1, "status": "sent"}]})
    ] == []
    assert await events({"statuses": {}, "messages": "x", "user_preferences": None}) == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"object":"page","entry":[]}', b'{"object":"whatsapp_business_account"}']
)
async def test_body_that_is_no_notification_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        await read(signed(body))
