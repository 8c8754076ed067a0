"""What is learnt about addresses, which reason stands, and what takes it away again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import permutations

import pytest

from hermod.contracts.errors import NotFound
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Category, Status
from hermod.contracts.notifications.outcomes import Fault
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.notifications.suppressions import Reason
from hermod.domain.notifications.recipients import fingerprint
from hermod.domain.notifications.suppressions import STRENGTH
from hermod.ports.notifications.hygiene import Refused
from hermod.storage.database.engine import Database
from hermod.storage.recipients.suppressions import Entry
from tests.integration.storage.reporting import NOW, Office, event

H = ReceiptEventType
NUMBER = "+14155550100"


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    database = Database(database_url)
    yield Office(database)
    await database.close()


def entry(reason: Reason = Reason.MANUAL, *, expires_at: datetime | None = None, to: str = "ada@example.com") -> Entry:
    return Entry(
        hash=fingerprint(Channel.EMAIL, to),
        address=to,
        channel=Channel.EMAIL,
        category=None,
        reason=reason,
        source="test",
        detail=f"because of {reason.value}",
        expires_at=expires_at,
    )


async def stands(office: Office) -> list[tuple[str, str | None, str | None]]:
    return sorted((one.reason.value, one.channel, one.category) for one in await office.suppressed())


@pytest.mark.parametrize(
    ("kind", "reason", "category"),
    [
        (H.BOUNCED, Reason.HARD_BOUNCE, None),
        (H.COMPLAINED, Reason.COMPLAINT, None),
        (H.UNREGISTERED, Reason.UNREGISTERED, None),
        (H.SUPPRESSED, Reason.LISTED, None),
        (H.UNSUBSCRIBED, Reason.UNSUBSCRIBED, Category.MARKETING),
    ],
)
async def test_report_suppresses_the_address_of_its_message(
    office: Office, kind: ReceiptEventType, reason: Reason, category: Category | None
) -> None:
    message = await office.message(to="Ada <Ada@example.com>")
    await office.take(event(kind, message, code="5.1.1"))
    (one,) = await office.suppressed()
    assert (one.address, one.channel, one.category, one.reason) == ("ada@example.com", Channel.EMAIL, category, reason)
    assert (one.source, one.detail, one.expires_at) == ("main", "5.1.1", None)
    told = [(made.verdict, made.reason) for made in (await office.story(message)).decisions]
    assert (reason.value, f"main: the-word/{kind.value} (5.1.1)") in told


async def test_report_about_an_address_alone_suppresses_it(office: Office) -> None:
    await office.take(event(H.COMPLAINED, address="ADA@example.com"))
    assert await stands(office) == [("complaint", "email", None)]


@pytest.mark.parametrize("order", list(permutations([Reason.HARD_BOUNCE, Reason.COMPLAINT, Reason.LISTED])))
async def test_strongest_reason_stands_whatever_came_first(office: Office, order: tuple[Reason, ...]) -> None:
    for reason in order:
        await office.suppressions.add(office.tenant, entry(reason), actor="test", now=NOW)
    (one,) = await office.suppressed()
    assert (one.reason, one.detail) == (Reason.COMPLAINT, "because of complaint")


async def test_manual_suppression_is_overwritten_by_nothing(office: Office) -> None:
    await office.suppressions.add(office.tenant, entry(), actor="test", now=NOW)
    for reason in STRENGTH[:-1]:
        view, fresh = await office.suppressions.add(office.tenant, entry(reason), actor="test", now=NOW)
        assert (view.reason, fresh) == (Reason.MANUAL, False)


async def test_lasting_suppression_stands_before_one_that_expires(office: Office) -> None:
    week = NOW + timedelta(days=7)
    await office.suppressions.add(office.tenant, entry(Reason.MANUAL, expires_at=week), actor="test", now=NOW)
    await office.suppressions.add(office.tenant, entry(Reason.HARD_BOUNCE), actor="test", now=NOW)
    await office.suppressions.add(office.tenant, entry(Reason.MANUAL, expires_at=week), actor="test", now=NOW)
    (one,) = await office.suppressed()
    assert (one.reason, one.expires_at) == (Reason.HARD_BOUNCE, None)


async def test_expired_suppression_gives_way_to_any(office: Office) -> None:
    soon = NOW + timedelta(hours=1)
    await office.suppressions.add(office.tenant, entry(Reason.MANUAL, expires_at=soon), actor="test", now=NOW)
    office.later(hours=2)
    assert await office.suppressed() == []
    later = office.now + timedelta(days=7)
    soft = entry(Reason.SOFT_BOUNCES, expires_at=later)
    view, _ = await office.suppressions.add(office.tenant, soft, actor="test", now=office.now)
    assert (view.reason, view.expires_at) == (Reason.SOFT_BOUNCES, later)


async def test_refusals_of_a_wave_are_learnt(office: Office) -> None:
    faults = (Fault.INVALID, Fault.OPTED_OUT, Fault.LISTED, Fault.UNREACHABLE, Fault.INVALID)
    refused = [
        Refused(message="msg_1", to=f"+1415555010{number}", fault=fault, code="21211")
        for number, fault in enumerate(faults)
    ]
    await office.suppressions.learn(office.tenant, Channel.SMS, "main", [*refused, refused[0]], 5, NOW)
    found = {one.address: one.reason for one in await office.suppressed()}
    assert found == {
        "+14155550100": Reason.HARD_BOUNCE,
        "+14155550101": Reason.STOP,
        "+14155550102": Reason.LISTED,
        "+14155550104": Reason.HARD_BOUNCE,
    }


async def soft_bounces(office: Office, count: int) -> None:
    for _ in range(count):
        await office.take(event(H.SOFT_BOUNCED, await office.message()))


async def test_five_soft_bounces_in_a_row_rest_the_address_for_a_week(office: Office) -> None:
    await soft_bounces(office, 4)
    assert await office.suppressed() == []
    await soft_bounces(office, 1)
    (one,) = await office.suppressed()
    assert (one.reason, one.expires_at) == (Reason.SOFT_BOUNCES, NOW + timedelta(days=7))
    office.later(days=8)
    await soft_bounces(office, 4)
    assert await office.suppressed() == [], "the count began anew"


async def test_delivery_ends_a_row_of_soft_bounces(office: Office) -> None:
    await soft_bounces(office, 4)
    await office.take(event(H.OPENED, await office.message()))
    await soft_bounces(office, 4)
    assert await office.suppressed() == []


async def test_row_of_soft_bounces_in_one_call_counts_alike(office: Office) -> None:
    messages = [await office.message() for _ in range(11)]
    kinds = [H.SOFT_BOUNCED] * 4 + [H.DELIVERED] + [H.SOFT_BOUNCED] * 6
    await office.take(*(event(kind, message) for kind, message in zip(kinds, messages, strict=True)))
    assert await stands(office) == [("soft_bounces", "email", None)]


async def said(office: Office, words: str, channel: Channel = Channel.SMS) -> None:
    await office.take(event(H.INBOUND, address=NUMBER, words=words), channel=channel)


async def test_stop_ends_everything_on_its_channel_and_start_lifts_it(office: Office) -> None:
    await said(office, "Stop!")
    (one,) = await office.suppressed()
    assert (one.address, one.channel, one.category, one.reason) == (NUMBER, Channel.SMS, None, Reason.STOP)
    await said(office, "START", Channel.WHATSAPP)
    assert await stands(office) == [("stop", "sms", None)]
    await said(office, "HELP")
    await said(office, "please do not stop")
    assert await stands(office) == [("stop", "sms", None)]
    await said(office, "start")
    assert await stands(office) == []
    (audited,) = await office.rows("SELECT * FROM audit WHERE tenant_id = :tenant")
    assert (audited.action, audited.subject, audited.detail) == (
        "suppression.lift",
        one.id,
        {"reason": "stop", "source": "main"},
    )


async def test_stop_and_start_in_one_call_are_heard_in_their_order(office: Office) -> None:
    both = [event(H.INBOUND, address=NUMBER, words=words) for words in ("STOP", "START")]
    await office.take(*both, channel=Channel.SMS)
    assert await stands(office) == []
    await office.take(*(event(H.INBOUND, address=NUMBER, words=one) for one in ("START", "STOP")), channel=Channel.SMS)
    assert await stands(office) == [("stop", "sms", None)]


@pytest.mark.parametrize("reason", [Reason.MANUAL, Reason.COMPLAINT, Reason.HARD_BOUNCE])
async def test_start_lifts_nothing_that_others_put_there(office: Office, reason: Reason) -> None:
    await office.suppressions.add(office.tenant, entry(reason), actor="test", now=NOW)
    await office.take(event(H.RESUBSCRIBED, address="ada@example.com"))
    assert await stands(office) == [(reason.value, "email", None)]


async def test_list_is_paged_and_narrowed(office: Office) -> None:
    for number in range(5):
        one = entry(Reason.MANUAL if number % 2 else Reason.LISTED, to=f"ada{number}@example.com")
        await office.suppressions.add(office.tenant, one, actor="test", now=NOW)
        if number == 3:
            await Office(office.database).suppressions.add("another", one, actor="test", now=NOW)

    async def page(cursor: str | None = None, **narrowed: object) -> tuple[list[str | None], str | None]:
        wanted = {"hashes": None, "channel": None, "reason": None} | narrowed
        found = await office.suppressions.page(office.tenant, cursor=cursor, limit=2, now=NOW, **wanted)  # type: ignore[arg-type]
        return [item.address for item in found.items], found.next_cursor

    first, cursor = await page()
    second, cursor = await page(cursor)
    third, end = await page(cursor)
    assert sorted(map(str, first + second + third)) == [f"ada{number}@example.com" for number in range(5)]
    assert end is None
    assert len((await page(reason=Reason.LISTED))[0]) == 2
    assert (await page(hashes=[fingerprint(Channel.EMAIL, "ADA3@example.com")]))[0] == ["ada3@example.com"]
    assert (await page(channel=Channel.SMS))[0] == []


async def test_suppression_removed_is_gone_and_in_the_audit(office: Office) -> None:
    view, _ = await office.suppressions.add(office.tenant, entry(), actor="key_1", now=NOW)
    assert await office.suppressions.get(office.tenant, view.id) == view
    with pytest.raises(NotFound):
        await office.suppressions.remove("another", view.id, actor="key_2", now=NOW)
    await office.suppressions.remove(office.tenant, view.id, actor="key_2", now=NOW)
    with pytest.raises(NotFound):
        await office.suppressions.get(office.tenant, view.id)
    rows = await office.rows("SELECT actor, action, subject FROM audit WHERE tenant_id = :tenant ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("key_1", "suppression.add", view.id),
        ("key_2", "suppression.remove", view.id),
    ]


async def test_report_that_waited_suppresses_only_once(office: Office) -> None:
    message = await office.message(Status.SENDING, asked=(("main", None),))
    await office.take(event(H.SOFT_BOUNCED, message, address="ada@example.com"))
    await office.put(message, Status.SENT)
    await office.receipts.settle(office.now)
    (row,) = await office.rows("SELECT count FROM soft_bounces WHERE tenant_id = :tenant")
    assert row.count == 1
