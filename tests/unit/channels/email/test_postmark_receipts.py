"""Postmark's webhooks: who may call, and every row of what they mean."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson
import pytest

from devstack.sandbox.entry import Entry
from hermod.channels.email.postmark.codes import BOUNCES, SUPPRESSIONS
from hermod.channels.email.postmark.receipts import PostmarkReceipts
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.tenants.accounts import Account
from hermod.ports.notifications.receipts import Callback, Event, ReceiptContext, SignatureInvalid, Unreadable
from tests.unit.channels import samples
from tests.unit.channels.receipt_suite import MESSAGE, URL, ReceiptConformance

MESSAGE_ID = "883953f4-6105-42a2-a16a-77a8eac79483"
LOGIN = {"webhook_username": "postmark", "webhook_password": "password-of-the-webhook"}
BASIC = {"authorization": "Basic " + base64.b64encode(b"postmark:password-of-the-webhook").decode()}
BOUNCE: dict[str, Any] = {
    "RecordType": "Bounce",
    "ID": 4323372036854775807,
    "Type": "HardBounce",
    "TypeCode": 1,
    "Name": "Hard bounce",
    "Tag": "Test",
    "MessageID": MESSAGE_ID,
    "Metadata": {"hermod_message_id": MESSAGE},
    "ServerID": 23,
    "MessageStream": "outbound",
    "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
    "Details": "smtp;550 5.1.1 <ada@example.com> does not exist",
    "Email": "ada@example.com",
    "From": "news@example.com",
    "BouncedAt": "2026-11-22T11:59:58.5070259Z",
    "Inactive": True,
    "CanActivate": True,
    "DumpAvailable": True,
    "Subject": "Hello",
}


class TestPostmarkReceipts(ReceiptConformance):
    provider: ClassVar = "postmark"
    HAPPENINGS: ClassVar = frozenset(
        {
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
    SECRETS: ClassVar[tuple[str, ...]] = ("webhook_username", "webhook_password")
    SIGNS_BODY: ClassVar = False
    SIGNS_TIME: ClassVar = False

    def entry(self) -> Entry:
        return Entry(
            provider="postmark",
            channel="email",
            message_id=MESSAGE,
            provider_message_id=MESSAGE_ID,
            sender="News <news@example.com>",
            to=("ada@example.com",),
            subject="Hello",
        )

    def malformed(self, call: Callback) -> Callback | None:
        return Callback(method=call.method, url=call.url, headers=call.headers, body=b"[1]")


class TestPostmarkReceiptsWithHeader(TestPostmarkReceipts):
    SECRETS: ClassVar = ("webhook_secret",)

    def account(self, **changes: Any) -> Account:
        credentials = {"server_token": "token", "webhook_secret": "secret-of-the-header"}
        return samples.account("postmark", **({"credentials": credentials} | changes))


class TestPostmarkReceiptsWithBoth(TestPostmarkReceipts):
    """What the account names has to come: a secret of the header does not replace the password."""

    def account(self, **changes: Any) -> Account:
        credentials = {"server_token": "token", "webhook_secret": "secret-of-the-header", **LOGIN}
        return samples.account("postmark", **({"credentials": credentials} | changes))

    async def test_report_without_the_secret_is_forged(self) -> None:
        call = self.call(ReceiptEventType.BOUNCED)
        for name in ("authorization", "x-hermod-secret"):
            headers = {key: value for key, value in call.headers.items() if key != name}
            with pytest.raises(SignatureInvalid):
                await self.read(Callback(method="POST", url=call.url, headers=headers, body=call.body))


async def events(body: object, headers: dict[str, str] | None = None, **credentials: str) -> tuple[Event, ...]:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    call = Callback(method="POST", url=URL.format(provider="postmark"), headers=headers or BASIC, body=raw)
    account = samples.account("postmark", credentials={"server_token": "t", **(credentials or LOGIN)})

    async def fetch(url: str) -> bytes:
        raise AssertionError(url)

    return (await PostmarkReceipts().read(call, account, ReceiptContext(now=samples.NOW, fetch=fetch))).events


async def test_event_holds_what_postmark_says() -> None:
    assert await events(BOUNCE) == (
        Event(
            id="Bounce/4323372036854775807",
            kind=ReceiptEventType.BOUNCED,
            word="Bounce/HardBounce",
            at=datetime(2026, 11, 22, 11, 59, 58, 507025, tzinfo=UTC),
            message_id=MESSAGE,
            provider_message_id=MESSAGE_ID,
            address="ada@example.com",
            code="1",
            text="smtp;550 5.1.1 <[address]> does not exist",
        ),
    )


@pytest.mark.parametrize("type_", sorted(BOUNCES))
async def test_bounce_is_read_by_its_type(type_: str) -> None:
    (event,) = await events({**BOUNCE, "Type": type_})
    assert (event.kind, event.word) == (BOUNCES[type_], f"Bounce/{type_}")


@pytest.mark.parametrize("reason", sorted(SUPPRESSIONS))
async def test_suppression_is_read_by_its_reason(reason: str) -> None:
    change = {"RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": reason}
    (event,) = await events(change)
    assert (event.kind, event.word) == (SUPPRESSIONS[reason], f"SubscriptionChange/{reason}")


async def test_suppression_that_ends_is_a_subscription() -> None:
    (event,) = await events({"RecordType": "SubscriptionChange", "SuppressSending": False, "SuppressionReason": None})
    assert (event.kind, event.word) == (ReceiptEventType.RESUBSCRIBED, "SubscriptionChange/Reactivated")


@pytest.mark.parametrize(
    "event",
    [
        {"RecordType": "SomethingNew"},
        {"RecordType": "Inbound"},
        {"RecordType": "Bounce"},
        {"RecordType": "Bounce", "Type": "SomethingNew"},
        {"RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "SomethingNew"},
        {"RecordType": "SubscriptionChange"},
    ],
)
async def test_word_that_is_not_known_changes_nothing(event: dict[str, Any]) -> None:
    (found,) = await events(event)
    assert found.kind is ReceiptEventType.UNKNOWN
    assert found.word.startswith(event["RecordType"])


async def test_events_without_an_id_are_told_apart_by_what_they_say() -> None:
    click = {
        "RecordType": "Click",
        "MessageID": MESSAGE_ID,
        "Recipient": "ada@example.com",
        "ReceivedAt": "2026-11-22T12:00:00Z",
        "OriginalLink": "https://example.com/1",
    }
    changes = [
        {},
        {"OriginalLink": "https://example.com/2"},
        {"ReceivedAt": "2026-11-22T12:00:01Z"},
        {"Recipient": "bob@example.com"},
        {"MessageID": "another"},
        {"RecordType": "Open"},
    ]
    ids = [(await events(click | change))[0].id for change in changes]
    assert len(set(ids)) == len(changes)
    assert (await events(click))[0].id == ids[0]
    assert not any("ada" in one for one in ids)


@pytest.mark.parametrize("metadata", [None, [], {}, {"hermod_message_id": 1}, {"other": "msg_1"}])
async def test_event_of_a_message_that_is_not_ours_names_none(metadata: object) -> None:
    (event,) = await events({**BOUNCE, "Metadata": metadata, "MessageID": None})
    assert (event.message_id, event.provider_message_id) == (None, None)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"{}", b'{"RecordType": null}'])
async def test_body_that_is_no_event_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        await events(body)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": BASIC["authorization"].lower()},
        {"authorization": f"{BASIC['authorization']}, {BASIC['authorization']}"},
        {"authorization": "Basic " + base64.b64encode(b"postmark:").decode()},
        {"authorization": "Bearer password-of-the-webhook"},
        {"authorization": "Basic \udcff"},
        {"x-hermod-secret": "password-of-the-webhook"},
    ],
)
async def test_call_with_another_login_is_forged(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalid):
        await events(BOUNCE, headers)


@pytest.mark.parametrize("credentials", [{"message_stream": "outbound"}, {"webhook_username": "postmark"}])
async def test_call_for_an_account_without_a_secret_is_forged(credentials: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalid):
        await events(BOUNCE, {"authorization": "Basic " + base64.b64encode(b"postmark:").decode()}, **credentials)
