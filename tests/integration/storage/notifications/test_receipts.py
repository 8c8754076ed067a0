"""Reports on real PostgreSQL: kept once, matched with their message, acted on at once or as soon as that can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.receipts import ReceiptEventType, SettleReport
from hermod.ports.notifications.receipts import Taken
from hermod.storage.database.engine import Database
from tests.integration.storage.reporting import ACCOUNT, NOW, OTHER, Office, event

H = ReceiptEventType


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    database = Database(database_url)
    yield Office(database)
    await database.close()


async def test_report_moves_its_message_and_tells_why(office: Office) -> None:
    message = await office.message()
    assert await office.take(event(H.DELIVERED, message, word="delivered", at=NOW)) == Taken(new=1, repeated=0)
    story = await office.story(message)
    assert (story.status, story.error, story.error_code) == (Status.DELIVERED, None, None)
    assert [(one.kind, one.verdict, one.reason) for one in story.decisions] == [
        ("receipt", "delivered", "main: delivered")
    ]
    assert [(one.at, one.kind, one.word) for one in story.receipts] == [(NOW, H.DELIVERED, "delivered")]


async def test_report_of_a_bounce_is_the_messages_error(office: Office) -> None:
    message = await office.message()
    await office.take(event(H.BOUNCED, message, word="bounce", code="5.1.1", text="no such mailbox"))
    story = await office.story(message)
    assert (story.status, story.error_code, story.error) == (Status.BOUNCED, "5.1.1", "no such mailbox")
    assert ("receipt", "bounced", "main: bounce (5.1.1)") in [
        (one.kind, one.verdict, one.reason) for one in story.decisions
    ]


async def test_report_repeated_changes_nothing(office: Office) -> None:
    message = await office.message()
    same = event(H.DELIVERED, message)
    assert await office.take(same, same) == Taken(new=1, repeated=1)
    assert await office.take(same) == Taken(new=0, repeated=1)
    story = await office.story(message)
    assert (len(story.receipts), len(story.decisions)) == (1, 1)


async def test_reports_of_several_accounts_may_have_the_same_id(office: Office) -> None:
    message = await office.message(asked=((ACCOUNT, "unknown"), (OTHER, "accepted")))
    assert (await office.take(event(H.ACCEPTED, message, id="1"))).new == 1
    assert (await office.take(event(H.DELIVERED, message, id="1"), account=OTHER)).new == 1
    assert await office.status(message) is Status.DELIVERED


async def test_reports_come_in_any_order_end_alike(office: Office) -> None:
    kinds = (H.COMPLAINED, H.OPENED, H.DELIVERED, H.ACCEPTED)
    message, other = await office.message(), await office.message()
    await office.take(*(event(kind, message) for kind in kinds))
    for kind in reversed(kinds):
        await office.take(event(kind, other))
    assert [await office.status(one) for one in (message, other)] == [Status.COMPLAINED] * 2
    assert len((await office.story(message)).receipts) == len((await office.story(other)).receipts) == 4


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("kinds", [(H.DELIVERED, H.SOFT_BOUNCED), (H.SOFT_BOUNCED, H.DELIVERED)])
async def test_out_of_office_note_leaves_a_delivered_message_delivered(
    office: Office, kinds: tuple[ReceiptEventType, ...], together: bool
) -> None:
    message = await office.message()
    events = [event(kind, message, word="Bounce/Transient/General") for kind in kinds]
    for said in [events] if together else [[one] for one in events]:
        await office.take(*said)
    story = await office.story(message)
    assert (story.status, story.error, story.error_code) == (Status.DELIVERED, None, None)
    assert len(story.receipts) == 2


@pytest.mark.parametrize("hard", [H.BOUNCED, H.FAILED, H.UNREGISTERED])
async def test_hard_bounce_after_a_soft_one_is_not_undone_by_a_late_delivery(
    office: Office, hard: ReceiptEventType
) -> None:
    message = await office.message()
    for kind in (H.SOFT_BOUNCED, hard, H.DELIVERED):
        await office.take(event(kind, message))
    assert await office.status(message) is Status.BOUNCED


async def test_notes_from_mailboxes_that_took_the_mail_do_not_give_the_address_a_rest(office: Office) -> None:
    for _ in range(6):
        message = await office.message(Status.DELIVERED)
        await office.take(event(H.SOFT_BOUNCED, message))
    assert await office.suppressed() == []


async def test_report_names_the_providers_id_is_matched_at_an_account_that_was_asked(office: Office) -> None:
    message = await office.message(provider_id="p-1")
    await office.take(event(H.DELIVERED, provider_message_id="p-1"), account=OTHER)
    assert await office.status(message) is Status.SENT
    await office.take(event(H.DELIVERED, provider_message_id="p-1"))
    assert await office.status(message) is Status.DELIVERED


async def test_report_names_an_id_that_several_messages_share_goes_to_the_one_with_its_address(office: Office) -> None:
    ada, bob = [await office.message(to=f"{name}@example.com", provider_id="batch") for name in ("ada", "bob")]
    await office.take(event(H.DELIVERED, provider_message_id="batch", address="ADA@example.com"))
    assert [await office.status(one) for one in (ada, bob)] == [Status.DELIVERED, Status.SENT]


async def test_report_about_another_tenants_message_touches_nothing(office: Office) -> None:
    message = await office.message(provider_id="p-1")
    stranger = Office(office.database)
    await stranger.take(event(H.BOUNCED, message), event(H.BOUNCED, provider_message_id="p-1"))
    assert await office.status(message) is Status.SENT
    assert await office.suppressed() == await stranger.suppressed() == []
    assert [row.message_id for row in await stranger.rows("SELECT * FROM receipts WHERE tenant_id = :tenant")] == [
        None,
        None,
    ]


@pytest.mark.parametrize("status", [Status.RETRYING, Status.DEFERRED, Status.QUEUED, Status.UNKNOWN, Status.FAILED])
@pytest.mark.parametrize("kind", [H.ACCEPTED, H.DELIVERED, H.BOUNCED])
async def test_report_settles_an_unknown_outcome_so_that_nothing_is_sent_again(
    office: Office, status: Status, kind: ReceiptEventType
) -> None:
    message = await office.message(status, asked=((ACCOUNT, "unknown"), (OTHER, "transient")))
    await office.take(event(kind, message, provider_message_id="p-9"))
    story = await office.story(message)
    assert story.status == ("sent" if kind is H.ACCEPTED else kind.value)
    assert (story.provider, story.provider_message_id) == ("vendor-of-main", "p-9")
    assert (story.next_attempt_at, story.finished_at) == (None, NOW)
    assert (story.error is None) is (kind is not H.BOUNCED)
    dead = await office.rows("SELECT 1 FROM messages WHERE tenant_id = :tenant AND dead_at IS NOT NULL")
    assert dead == []


@pytest.mark.parametrize("status", [Status.RETRYING, Status.FAILED, Status.CANCELLED, Status.EXPIRED])
async def test_report_without_a_request_in_doubt_leaves_the_message_alone(office: Office, status: Status) -> None:
    message = await office.message(status, asked=((ACCOUNT, "transient"),))
    await office.take(event(H.DELIVERED, message))
    story = await office.story(message)
    assert (story.status, story.error, len(story.receipts)) == (status, "worse things", 1)
    assert await office.receipts.settle(office.now) == SettleReport()


async def test_report_of_an_account_whose_copy_was_replaced_is_no_failure(office: Office) -> None:
    message = await office.message(asked=((ACCOUNT, "unknown"), (OTHER, "accepted")))
    await office.take(event(H.FAILED, message))
    assert await office.status(message) is Status.SENT
    await office.take(event(H.FAILED, message), account=OTHER)
    assert await office.status(message) is Status.BOUNCED


async def test_report_about_somebody_in_copy_suppresses_them_and_leaves_the_message(office: Office) -> None:
    message = await office.message()
    await office.take(event(H.BOUNCED, message, address="copy@example.com"))
    assert await office.status(message) is Status.SENT
    assert [one.address for one in await office.suppressed()] == ["copy@example.com"]


async def test_report_comes_while_its_request_is_under_way_waits_for_the_outcome(office: Office) -> None:
    message = await office.message(Status.SENDING, asked=((ACCOUNT, None),))
    await office.take(event(H.DELIVERED, message))
    assert await office.status(message) is Status.SENDING
    assert await office.receipts.settle(office.now) == SettleReport(waiting=1)
    await office.put(message, Status.SENT)
    assert await office.receipts.settle(office.now) == SettleReport(), "it has just been looked at"
    office.later(seconds=30)
    assert await office.receipts.settle(office.now) == SettleReport(settled=1)
    assert await office.status(message) is Status.DELIVERED


async def test_report_comes_before_the_providers_id_is_known_is_matched_later(office: Office) -> None:
    await office.take(event(H.BOUNCED, provider_message_id="p-1"))
    message = await office.message(provider_id="p-1")
    office.later(seconds=30)
    assert await office.receipts.settle(office.now) == SettleReport(settled=1)
    assert await office.status(message) is Status.BOUNCED
    assert [one.address for one in await office.suppressed()] == ["ada@example.com"], "its address is the message's"


async def test_report_of_nobodys_message_is_looked_at_ever_more_seldom_and_given_up_after_a_day(office: Office) -> None:
    await office.take(event(H.OPENED, provider_message_id="somebody-elses"))
    looks, end = 0, office.now + timedelta(hours=30)
    while office.now < end:
        found = await office.receipts.settle(office.now)
        looks += found.waiting + found.given_up
        office.later(minutes=5)
    assert 5 < looks < 15
    (row,) = await office.rows("SELECT * FROM receipts WHERE tenant_id = :tenant")
    assert (row.message_id, row.look_at) == (None, None)
    assert row.settled_at - NOW == timedelta(hours=24)


async def test_report_about_a_message_in_other_hands_is_kept_and_settled_later(office: Office) -> None:
    message = await office.message()
    async with office.database.begin() as connection:
        await connection.execute(text("SELECT 1 FROM messages WHERE id = :id FOR UPDATE"), {"id": message})
        async with asyncio.timeout(5):
            assert await office.take(event(H.DELIVERED, message)) == Taken(new=1, repeated=0)
    story = await office.story(message)
    assert (story.status, len(story.receipts)) == (Status.SENT, 1)
    assert await office.receipts.settle(office.now) == SettleReport(settled=1)
    assert await office.status(message) is Status.DELIVERED


async def test_same_reports_come_many_times_at_once_count_once(office: Office) -> None:
    messages = [await office.message(to=f"ada{number}@example.com") for number in range(20)]
    events = [event(H.SOFT_BOUNCED, message) for message in messages]
    taken = await asyncio.gather(*(office.take(*events) for _ in range(8)))
    assert sum(one.new for one in taken) == 20
    office.later(minutes=1)
    await asyncio.gather(*(office.receipts.settle(office.now) for _ in range(3)))
    assert {await office.status(message) for message in messages} == {Status.BOUNCED}
    counted = await office.rows("SELECT count FROM soft_bounces WHERE tenant_id = :tenant")
    assert [row.count for row in counted] == [1] * 20
    decided = await office.rows("SELECT message_id FROM decisions WHERE tenant_id = :tenant")
    assert sorted(row.message_id for row in decided) == sorted(messages)


async def test_report_with_text_that_no_database_takes_is_kept(office: Office) -> None:
    message = await office.message()
    odd = event(H.FAILED, message, id="x" * 500, word="a\x00b", text="c\x00d\ud800" + "e" * 999, code="\x00")
    assert (await office.take(odd)).new == 1
    (one,) = (await office.story(message)).receipts
    assert (one.word, one.code) == ("ab", None)
    assert one.text is not None
    assert len(one.text) == 300


async def test_inbound_message_is_kept_without_its_words(office: Office) -> None:
    said = event(H.INBOUND, words="My code is 4711, please help", address="+14155550100", text="4711")
    await office.take(said, event(H.INBOUND, words="HELP", address="+14155550100"), channel=Channel.SMS)
    rows = await office.rows("SELECT * FROM receipts WHERE tenant_id = :tenant ORDER BY received_at, event_id")
    assert {(row.kind, row.code, row.text, row.settled_at) for row in rows} == {
        ("inbound", None, None, NOW),
        ("inbound", "help", None, NOW),
    }
    assert "4711" not in str(rows)
    assert "4155550100" not in str(rows)


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        ("+525512345678", "5215512345678"),
        ("+541123456789", "5491123456789"),
        ("+5511987654321", "551187654321"),
        ("+5215512345678", "525512345678"),
    ],
)
async def test_stop_from_the_other_spelling_of_a_number_is_of_the_same_person(
    office: Office, sent: str, answers: str
) -> None:
    message = await office.message(to=sent)
    (row,) = await office.rows("SELECT address_hash FROM messages WHERE tenant_id = :tenant")
    said = event(H.INBOUND, address=answers, words="STOP")
    await office.take(said, channel=Channel.WHATSAPP)
    (stopped,) = await office.rows("SELECT address_hash, channel FROM suppressions WHERE tenant_id = :tenant")
    assert (bytes(stopped.address_hash), stopped.channel) == (bytes(row.address_hash), "whatsapp")
    assert message
    await office.take(event(H.INBOUND, address=sent, words="START"), channel=Channel.WHATSAPP)
    assert await office.suppressed() == []


async def test_reports_of_one_call_are_told_in_their_order_whatever_their_ids_are(office: Office) -> None:
    message = await office.message(Status.SENT)
    kinds = (H.DELIVERED, H.OPENED, H.CLICKED, H.OPENED)
    reports = [event(kind, message, id=own) for kind, own in zip(kinds, "dcba", strict=True)]
    await office.take(*reports)
    assert [one.kind for one in (await office.story(message)).receipts] == list(kinds)
