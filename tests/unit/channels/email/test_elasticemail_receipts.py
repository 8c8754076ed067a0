"""Elastic Email's webhooks: signed or with a token, as JSON, form or query, and every word of the tables."""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson
import pytest

from devstack.sandbox.entry import Entry
from hermod.channels.email.elasticemail.receipts import CATEGORIES, WORDS, ElasticEmailReceipts, is_test
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.tenants.accounts import Account
from hermod.ports.notifications.receipts import (
    Callback,
    Event,
    ParsedReceipt,
    ReceiptContext,
    SignatureInvalid,
    Unreadable,
)
from tests.unit.channels import samples
from tests.unit.channels.receipt_suite import MESSAGE, URL, ReceiptConformance

HERE = URL.format(provider="elasticemail")
SECRET = samples.CREDENTIALS["elasticemail"]["webhook_secret"]
TOKEN = "token-that-nobody-guesses"
BY_TOKEN = {"api_key": "key", "webhook_token": TOKEN}
FIELDS = {"status": "Sent", "to": "ada@example.com", "messageid": "m_1", "postback": MESSAGE}


async def fetch(url: str) -> bytes:
    raise AssertionError(url)


async def read(call: Callback, credentials: dict[str, str], now: datetime = samples.NOW) -> ParsedReceipt:
    account = samples.account("elasticemail", credentials=credentials)
    return await ElasticEmailReceipts().read(call, account, ReceiptContext(now=now, fetch=fetch))


def signed(body: bytes = b"", *, method: str = "POST", url: str = HERE, kind: str = "application/json") -> Callback:
    timestamp = str(int(samples.NOW.timestamp()))
    place = url.removeprefix("https://hermod.example.com")
    mac = hmac.digest(SECRET.encode(), f"{timestamp}\n{method}\n{place}\n".encode() + body, "sha256")
    headers = {
        "content-type": kind,
        "x-elasticemail-timestamp": timestamp,
        "x-elasticemail-signature": f"v1={mac.hex()}",
        "x-elasticemail-webhook-id": "1",
    }
    return Callback(method=method, url=url, headers=headers, body=body)


async def told(**fields: Any) -> Event:
    (event,) = (await read(signed(orjson.dumps(FIELDS | fields)), {"webhook_secret": SECRET})).events
    return event


class TestElasticEmailReceipts(ReceiptConformance):
    provider: ClassVar = "elasticemail"
    HAPPENINGS: ClassVar = frozenset(
        {
            ReceiptEventType.DELIVERED,
            ReceiptEventType.OPENED,
            ReceiptEventType.CLICKED,
            ReceiptEventType.UNSUBSCRIBED,
            ReceiptEventType.COMPLAINED,
            ReceiptEventType.BOUNCED,
            ReceiptEventType.SOFT_BOUNCED,
            ReceiptEventType.FAILED,
        }
    )
    SECRETS: ClassVar = ("webhook_secret",)

    def entry(self) -> Entry:
        return Entry(
            provider="elasticemail",
            channel="email",
            message_id=MESSAGE,
            provider_message_id="m_49a3999c",
            sender="News <news@example.com>",
            to=("ada@example.com",),
            subject="Hello",
        )

    def malformed(self, call: Callback) -> Callback | None:
        return signed(b'{"status":')


class TestElasticEmailReceiptsByToken(TestElasticEmailReceipts):
    SECRETS: ClassVar = ("webhook_token",)
    SIGNS_BODY: ClassVar = False
    SIGNS_TIME: ClassVar = False

    def account(self, **changes: Any) -> Account:
        return samples.account(self.provider, **({"credentials": BY_TOKEN} | changes))

    def malformed(self, call: Callback) -> Callback:
        headers = {"content-type": "application/json"}
        return Callback(method="POST", url=call.url, headers=headers, body=b"[]")


async def test_signature_of_the_documented_vector_fits() -> None:
    call = Callback(
        method="POST",
        url="https://hermod.example.com/webhook?x=1",
        headers={
            "content-type": "application/json",
            "x-elasticemail-timestamp": "1795219200",
            "x-elasticemail-signature": "v1=c97ab7f82fa14ff78e897ce801e152fdb8b00e9a93591231b8e7f61aa40efada",
        },
        body=b'{"status":"Sent"}',
    )
    (event,) = (await read(call, {"webhook_secret": "secret"}, datetime.fromtimestamp(1795219200, UTC))).events
    assert (event.kind, event.word) == (ReceiptEventType.DELIVERED, "Sent")


@pytest.mark.parametrize(
    "call",
    [
        signed(orjson.dumps(FIELDS)),
        signed(urlencode(FIELDS).encode(), kind="application/x-www-form-urlencoded"),
        signed(method="GET", url=f"{HERE}?{urlencode(FIELDS)}", kind=""),
        signed(orjson.dumps({name.title(): value for name, value in FIELDS.items()})),
    ],
    ids=["json", "form", "query", "other case"],
)
async def test_event_is_read_however_it_travels(call: Callback) -> None:
    (event,) = (await read(call, {"webhook_secret": SECRET})).events
    assert (event.message_id, event.provider_message_id, event.address) == (MESSAGE, "m_1", "ada@example.com")


async def test_signature_covers_method_and_place() -> None:
    call = signed(orjson.dumps(FIELDS), url=f"{HERE}?a=1")
    for changes in ({"url": HERE}, {"url": f"{HERE}?a=2"}, {"url": f"{HERE}/?a=1"}, {"method": "PUT"}):
        fields = {"method": call.method, "url": call.url, "headers": call.headers, "body": call.body}
        with pytest.raises(SignatureInvalid):
            await read(Callback(**(fields | changes)), {"webhook_secret": SECRET})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["x-elasticemail-timestamp", "x-elasticemail-signature"])
async def test_header_missing_or_twice_is_forged(name: str) -> None:
    call = signed(orjson.dumps(FIELDS))
    without = {key: value for key, value in call.headers.items() if key != name}
    twice = {**call.headers, name: f"{call.headers[name]}, {call.headers[name]}"}
    for headers in (without, twice, {**call.headers, name: "v1=é"}):
        with pytest.raises(SignatureInvalid):
            await read(Callback(method="POST", url=HERE, headers=headers, body=call.body), {"webhook_secret": SECRET})


async def test_token_counts_only_where_there_is_no_secret() -> None:
    call = Callback(method="GET", url=f"{HERE}?{urlencode(FIELDS | {'token': TOKEN})}", headers={}, body=b"")
    assert len((await read(call, BY_TOKEN)).events) == 1
    with pytest.raises(SignatureInvalid):
        await read(call, BY_TOKEN | {"webhook_secret": SECRET})
    with pytest.raises(SignatureInvalid):
        await read(call, {"api_key": "key"})


@pytest.mark.parametrize("token", ["", "token", TOKEN.upper(), TOKEN + "é"])
async def test_token_that_is_another_one_is_forged(token: str) -> None:
    call = Callback(method="GET", url=f"{HERE}?{urlencode(FIELDS | {'token': token})}", headers={}, body=b"")
    with pytest.raises(SignatureInvalid):
        await read(call, BY_TOKEN)


def test_test_event_of_a_new_webhook_is_known_by_its_values_and_is_short() -> None:
    fields = {"status": "opened", "messageid": "abc1234", "to": "test@test.com"}
    by_get = Callback(method="GET", url=f"{HERE}?{urlencode(fields)}", headers={}, body=b"")
    by_post = Callback(method="POST", url=HERE, headers={}, body=urlencode(fields).encode())
    assert is_test(by_get)
    assert is_test(by_post)
    assert not is_test(replace(by_get, url=f"{HERE}?{urlencode(fields | {'to': 'ada@example.com'})}"))
    assert not is_test(replace(by_post, body=by_post.body + b"&padding=" + b"x" * 4096))


async def test_call_without_a_status_holds_nothing() -> None:
    assert (await read(signed(method="GET", kind=""), {"webhook_secret": SECRET})).events == ()


@pytest.mark.parametrize(("word", "kind"), WORDS.items())
async def test_status_is_read_by_the_table_in_any_case(word: str, kind: ReceiptEventType) -> None:
    for status in (word, word.title(), word.upper()):
        event = await told(status=status)
        assert (event.kind, event.word, event.code) == (kind, status, None)


@pytest.mark.parametrize(("category", "kind"), [*CATEGORIES.items(), ("SomethingNew", ReceiptEventType.FAILED)])
async def test_error_is_read_by_its_category(category: str, kind: ReceiptEventType) -> None:
    event = await told(status="Error", category=category)
    assert (event.kind, event.word, event.code) == (kind, f"Error/{category}", category)


async def test_only_a_missing_mailbox_counts_against_the_address() -> None:
    assert [name for name, kind in CATEGORIES.items() if kind is ReceiptEventType.BOUNCED] == ["NoMailbox"]


async def test_status_that_is_not_known_is_kept_as_unknown() -> None:
    assert (await told(status="Teleported")).kind is ReceiptEventType.UNKNOWN


@pytest.mark.parametrize(
    ("date", "at"),
    [("2026-11-22T11:59:58", datetime(2026, 11, 22, 11, 59, 58, tzinfo=UTC)), ("11/22/2026 noon", None), ("", None)],
)
async def test_date_is_read_where_it_can_be(date: str, at: datetime | None) -> None:
    assert (await told(date=date)).at == at


async def test_identity_is_made_of_what_tells_events_apart() -> None:
    one = (await told()).id
    assert one == (await told(useragent="another")).id
    others = [
        (await told(**{name: "another"})).id for name in ("messageid", "status", "category", "to", "target", "date")
    ]
    assert len({one, *others}) == 7


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{"])
async def test_body_that_is_no_event_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        await read(signed(body), {"webhook_secret": SECRET})
