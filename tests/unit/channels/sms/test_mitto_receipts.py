"""Mitto's reports: the token that stands for a signature, the three shapes, and every word of the table."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlencode

import orjson
import pytest

from devstack.sandbox.entry import Entry
from hermod.channels.sms.mitto.codes import STATUSES
from hermod.channels.sms.mitto.kit import KIT
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.ports.notifications.receipts import Callback, Event, ReceiptContext, SignatureInvalid, Unreadable
from tests.unit.channels import samples
from tests.unit.channels.receipt_suite import MESSAGE, ReceiptConformance

TOKEN = samples.CREDENTIALS["mitto"]["callback_token"]
URL = "https://hermod.example.com/ingress/receipts/mitto/demo/main"
REPORT = {"msgid": "m-1", "status": "DELIVERED", "errorcode": "0", "reference": MESSAGE}


def by_get(said: dict[str, str], token: str = TOKEN) -> Callback:
    return Callback(method="GET", url=f"{URL}?{urlencode({'token': token} | said)}", headers={}, body=b"")


def by_form(said: dict[str, str], token: str = TOKEN) -> Callback:
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    url = f"{URL}?{urlencode({'token': token})}"
    return Callback(method="POST", url=url, headers=headers, body=urlencode(said).encode())


def by_json(said: dict[str, str], token: str = TOKEN) -> Callback:
    headers = {"content-type": "application/json"}
    url = f"{URL}?{urlencode({'token': token})}"
    return Callback(method="POST", url=url, headers=headers, body=orjson.dumps(said))


SHAPES = (by_get, by_form, by_json)


async def read(call: Callback) -> Event:
    assert KIT.receipts is not None

    async def fetch(url: str) -> bytes:
        raise AssertionError(url)

    reading = await KIT.receipts.read(call, samples.account("mitto"), ReceiptContext(now=samples.NOW, fetch=fetch))
    (event,) = reading.events
    return event


class TestMittoReceipts(ReceiptConformance):
    provider: ClassVar = "mitto"
    HAPPENINGS: ClassVar = frozenset(
        {
            ReceiptEventType.ACCEPTED,
            ReceiptEventType.DEFERRED,
            ReceiptEventType.DELIVERED,
            ReceiptEventType.SOFT_BOUNCED,
            ReceiptEventType.FAILED,
        }
    )
    SECRETS: ClassVar = ("callback_token",)
    SIGNS_BODY: ClassVar = False
    SIGNS_TIME: ClassVar = False

    def entry(self) -> Entry:
        callback = f"{URL}?{urlencode({'token': TOKEN, 'hermod_message_id': MESSAGE})}"
        return Entry(
            provider=self.provider,
            channel="sms",
            message_id=MESSAGE,
            provider_message_id="9a1f5f0e-0000-4000-8000-000000000001",
            sender="Hermod",
            to=("+14155550100",),
            headers={"callback": callback},
        )

    def malformed(self, call: Callback) -> Callback:
        return Callback(method="POST", url=call.url, headers={"content-type": "application/json"}, body=b"{")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spelling", [str.lower, str.upper, str.title])
async def test_report_of_any_shape_and_spelling_is_read(shape: type, spelling: type) -> None:
    event = await read(shape({spelling(name): value for name, value in REPORT.items()}))
    assert (event.kind, event.word, event.code) == (ReceiptEventType.DELIVERED, "DELIVERED", None)
    assert (event.id, event.message_id, event.provider_message_id) == ("m-1:DELIVERED", MESSAGE, "m-1")


@pytest.mark.parametrize("word", STATUSES)
async def test_report_is_read_by_the_table(word: str) -> None:
    assert (await read(by_form(REPORT | {"status": word}))).kind is STATUSES[word]
    assert (await read(by_form(REPORT | {"status": word.lower()}))).kind is STATUSES[word]


async def test_report_with_another_word_is_unknown() -> None:
    event = await read(by_form(REPORT | {"status": "Pondered", "errorcode": "17"}))
    assert (event.kind, event.word, event.code) == (ReceiptEventType.UNKNOWN, "PONDERED", "17")


async def test_report_of_numbers_in_json_is_read() -> None:
    call = by_json(REPORT)
    body = orjson.dumps({"msgId": 7, "Status": "failed", "errorCode": 17})
    event = await read(Callback(method="POST", url=call.url, headers=call.headers, body=body))
    assert (event.kind, event.provider_message_id, event.code) == (ReceiptEventType.FAILED, "7", "17")


async def test_report_names_our_message_in_its_own_address_first() -> None:
    call = by_form(REPORT | {"reference": "another"})
    ours = Callback(method="POST", url=f"{call.url}&hermod_message_id={MESSAGE}", headers=call.headers, body=call.body)
    assert (await read(ours)).message_id == MESSAGE


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("token", ["", "other", "tökén", TOKEN + "x"])
async def test_report_with_another_token_is_forged(shape: type, token: str) -> None:
    with pytest.raises(SignatureInvalid):
        await read(shape(REPORT, token))


async def test_report_with_two_tokens_is_forged() -> None:
    call = by_form(REPORT)
    with pytest.raises(SignatureInvalid):
        await read(Callback(method="POST", url=f"{call.url}&token={TOKEN}", headers=call.headers, body=call.body))


async def test_report_with_the_token_in_the_body_only_is_forged() -> None:
    call = by_form(REPORT | {"token": TOKEN})
    with pytest.raises(SignatureInvalid):
        await read(Callback(method="POST", url=URL, headers=call.headers, body=call.body))


@pytest.mark.parametrize(
    "call",
    [
        by_get({}),
        by_form({"msgid": "m-1"}),
        by_form({"status": "SENT"}),
        Callback(method="POST", url=by_json({}).url, headers={}, body=b"[1]"),
        Callback(method="POST", url=by_json({}).url, headers={}, body=b"<dlr/>"),
    ],
)
async def test_report_without_status_and_message_is_unreadable(call: Callback) -> None:
    with pytest.raises(Unreadable):
        await read(call)
