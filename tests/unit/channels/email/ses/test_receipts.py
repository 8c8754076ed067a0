"""SES's events in the envelope of SNS: every row of what they mean. Whose calls they are: test_ses_sns.py."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson
import pytest

from devstack.sandbox.entry import Entry
from devstack.sandbox.providers.contract import Target
from devstack.sandbox.providers.ses_events import event_of, notification
from devstack.sandbox.providers.ses_signature import certificate
from hermod.channels.email.ses.receipts import WORDS, SesReceipts
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.ports.notifications.receipts import Callback, Event, ParsedReceipt, ReceiptContext, Unreadable
from tests.unit.channels import samples
from tests.unit.channels.receipt_suite import MESSAGE, URL, ReceiptConformance

AT = datetime(2026, 11, 22, 11, 59, 58, 500_000, tzinfo=UTC)
SNS = "https://sns.us-east-1.amazonaws.com"
ENTRY = Entry(
    provider="ses",
    channel="email",
    message_id=MESSAGE,
    provider_message_id="0100018f2c5a1b2c-8a6f3d52-1b7e-4c39-9d80-6f5e4d3c2b1a-000000",
    sender="News <news@example.com>",
    to=("ada@example.com",),
    subject="Hello",
)


class TestSesReceipts(ReceiptConformance):
    provider: ClassVar = "ses"
    HAPPENINGS: ClassVar = frozenset(
        {
            ReceiptEventType.ACCEPTED,
            ReceiptEventType.DELIVERED,
            ReceiptEventType.DEFERRED,
            ReceiptEventType.BOUNCED,
            ReceiptEventType.SOFT_BOUNCED,
            ReceiptEventType.SUPPRESSED,
            ReceiptEventType.COMPLAINED,
            ReceiptEventType.FAILED,
            ReceiptEventType.OPENED,
            ReceiptEventType.CLICKED,
            ReceiptEventType.UNSUBSCRIBED,
        }
    )
    SECRETS: ClassVar = ("topic_arn",)
    SIGNS_BODY: ClassVar = False  # the fields, not the bytes: see test_ses_sns.py

    def entry(self) -> Entry:
        return ENTRY

    async def fetch(self, url: str) -> bytes:
        assert url.startswith(f"{SNS}/SimpleNotificationService-")
        return certificate()

    def malformed(self, call: Callback) -> Callback | None:
        return signed("[1]")


class Web:
    """What a reader fetches, and from where."""

    def __init__(self, answer: bytes | Exception | None = None) -> None:
        self.asked: list[str] = []
        self._answer = certificate() if answer is None else answer

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def target(*, now: datetime = samples.NOW, sandbox: str | None = None) -> Target:
    return Target(URL.format(provider="ses"), samples.CREDENTIALS["ses"], now, sandbox)


def signed(message: str, *, now: datetime = samples.NOW, version: str = "2", sandbox: str | None = None) -> Callback:
    return callback(notification(message, target(now=now, sandbox=sandbox), identity="1", version=version))


def callback(call: Any) -> Callback:
    return Callback(method=call.method, url=call.path, headers={}, body=call.body)


async def read(
    call: Callback, *, web: Web | None = None, reader: SesReceipts | None = None, **account: Any
) -> ParsedReceipt:
    desk = ReceiptContext(now=samples.NOW, fetch=(web or Web()).fetch)
    return await (reader or SesReceipts()).read(call, samples.account("ses", **account), desk)


async def events(event: dict[str, Any]) -> tuple[Event, ...]:
    return (await read(signed(orjson.dumps(event).decode()))).events


def bounce(type_: str, subtype: str, **more: Any) -> dict[str, Any]:
    event = event_of(ENTRY, "bounced", AT)
    assert event is not None
    event["bounce"] |= {"bounceType": type_, "bounceSubType": subtype, **more}
    return event


async def test_event_holds_what_ses_says() -> None:
    (event,) = await events(bounce("Permanent", "General"))
    assert event.message_id == MESSAGE
    assert event.provider_message_id == ENTRY.provider_message_id
    assert (event.kind, event.word) == (ReceiptEventType.BOUNCED, "Bounce/Permanent/General")
    assert (event.address, event.code, event.at) == ("ada@example.com", "5.1.1", AT)
    assert event.text == "smtp; 550 5.1.1 <[address]>... User unknown"


@pytest.mark.parametrize(
    ("type_", "subtype", "kind"),
    [
        ("Permanent", "General", ReceiptEventType.BOUNCED),
        ("Permanent", "NoEmail", ReceiptEventType.BOUNCED),
        ("Permanent", "Suppressed", ReceiptEventType.SUPPRESSED),
        ("Permanent", "OnAccountSuppressionList", ReceiptEventType.SUPPRESSED),
        ("Transient", "General", ReceiptEventType.SOFT_BOUNCED),
        ("Transient", "MailboxFull", ReceiptEventType.SOFT_BOUNCED),
        ("Transient", "MessageTooLarge", ReceiptEventType.FAILED),
        ("Transient", "ContentRejected", ReceiptEventType.FAILED),
        ("Transient", "AttachmentRejected", ReceiptEventType.FAILED),
        ("Undetermined", "Undetermined", ReceiptEventType.SOFT_BOUNCED),
        ("Permanent", "SomethingNew", ReceiptEventType.BOUNCED),
        ("SomethingNew", "General", ReceiptEventType.UNKNOWN),
    ],
)
async def test_bounce_is_read_by_type_and_subtype(type_: str, subtype: str, kind: ReceiptEventType) -> None:
    (event,) = await events(bounce(type_, subtype))
    assert (event.kind, event.word) == (kind, f"Bounce/{type_}/{subtype}")


@pytest.mark.parametrize(
    ("detail", "kind", "word"),
    [
        ({"complaintFeedbackType": "abuse"}, ReceiptEventType.COMPLAINED, "Complaint/abuse"),
        ({}, ReceiptEventType.COMPLAINED, "Complaint"),
        ({"complaintFeedbackType": "not-spam"}, ReceiptEventType.UNKNOWN, "Complaint/not-spam"),
        (
            {"complaintSubType": "OnAccountSuppressionList", "complaintFeedbackType": "abuse"},
            ReceiptEventType.SUPPRESSED,
            "Complaint/OnAccountSuppressionList",
        ),
    ],
)
async def test_complaint_is_read_by_its_subtype(detail: dict[str, str], kind: ReceiptEventType, word: str) -> None:
    (event,) = await events({"eventType": "Complaint", "mail": {"messageId": "1"}, "complaint": detail})
    assert (event.kind, event.word) == (kind, word)


@pytest.mark.parametrize("word", sorted(word for word in WORDS if "/" not in word))
@pytest.mark.parametrize("key", ["eventType", "notificationType"])
async def test_word_alone_is_enough(word: str, key: str) -> None:
    (event,) = await events({key: word, "mail": {"messageId": "1", "timestamp": "2026-11-22T11:59:58.5Z"}})
    assert (event.kind, event.word, event.at, event.address) == (WORDS[word], word, AT, None)


@pytest.mark.parametrize("word", ["AmazonSnsSubscriptionSucceeded", "Something New"])
async def test_word_that_is_not_known_changes_nothing(word: str) -> None:
    (event,) = await events({"notificationType": word, "message": "…"})
    assert (event.kind, event.word, event.message_id, event.provider_message_id) == (
        ReceiptEventType.UNKNOWN,
        word,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("preferences", "kind"),
    [
        ({"unsubscribeAll": True}, ReceiptEventType.UNSUBSCRIBED),
        (None, ReceiptEventType.UNSUBSCRIBED),
        ({"unsubscribeAll": False}, ReceiptEventType.UNKNOWN),
    ],
)
async def test_subscription_of_single_topics_is_not_guessed(preferences: object, kind: ReceiptEventType) -> None:
    (event,) = await events(
        {"eventType": "Subscription", "mail": {}, "subscription": {"newTopicPreferences": preferences}}
    )
    assert event.kind is kind


async def test_several_recipients_are_events_of_their_own() -> None:
    people = [{"emailAddress": "ada@example.com", "status": "5.1.1"}, {"emailAddress": "bob@example.com"}]
    first, second = await events(bounce("Permanent", "General", bouncedRecipients=people))
    assert (first.address, first.code) == ("ada@example.com", "5.1.1")
    assert (second.address, second.code) == ("bob@example.com", None)
    assert first.id != second.id


@pytest.mark.parametrize(
    ("destination", "address"), [(["ada@example.com"], "ada@example.com"), (["ada@example.com", "b@example.com"], None)]
)
async def test_open_is_of_the_only_recipient_or_of_nobody_known(destination: list[str], address: str | None) -> None:
    (event,) = await events({"eventType": "Open", "mail": {"destination": destination}, "open": {}})
    assert event.address == address


@pytest.mark.parametrize(
    "event",
    [
        {"eventType": "Bounce", "mail": 1, "bounce": "x"},
        {"eventType": "Bounce", "mail": {"tags": {"hermod_message_id": "msg_1"}}, "bounce": {"bouncedRecipients": [1]}},
        {"eventType": "Open", "mail": {"tags": {"hermod_message_id": []}, "timestamp": "yesterday"}, "open": None},
        {"eventType": "Delivery", "delivery": {"timestamp": 1, "recipients": [None]}},
    ],
)
async def test_event_of_strange_shapes_is_still_an_event(event: dict[str, Any]) -> None:
    (found,) = await events(event)
    assert (found.message_id, found.at, found.address) == (None, None, None)


async def test_notice_in_plain_words_has_no_events() -> None:
    words = "Successfully validated SNS topic for Amazon SES event publishing."
    assert await read(signed(words)) == ParsedReceipt()


@pytest.mark.parametrize("message", ["[]", "{}", "1", '{"eventType": null}'])
async def test_notice_that_is_no_event_is_unreadable(message: str) -> None:
    with pytest.raises(Unreadable):
        await read(signed(message))
