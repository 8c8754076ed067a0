"""Records have an end: they go whole, with everything that hangs on them, and nothing goes that is still needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text

from hermod.contracts.errors import Conflict, NotFound
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.notifications.suppressions import Reason
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from hermod.domain.notifications.recipients import fingerprint
from hermod.ports.notifications.limiter import ReserveRequest
from hermod.storage.database.engine import Database
from hermod.storage.operations import records as module
from hermod.storage.operations.records import Records
from hermod.storage.operations.workers import LOCK_CLASS, Workers
from hermod.storage.recipients.devices import Devices
from hermod.storage.recipients.suppressions import Entry
from hermod.storage.secrets.contents import Contents
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.limits import TenantLimits
from hermod.storage.tenants.rates import Rates
from hermod.storage.tenants.tenants import Tenants
from hermod.storage.webhooks.order import WebhookOrder
from tests.integration.storage.reporting import Office, event
from tests.support.webhooks.rows import WebhookRows

DAYS: Final = 40
OLD: Final = timedelta(days=DAYS, hours=1)
ANCIENT: Final = timedelta(days=91)
"""Old also for what nobody retried or discarded."""
OF_MESSAGES: Final = ("messages", "message_contents", "attempts", "decisions", "receipts", "idempotency_keys")


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    database = Database(database_url)
    office = Office(database, now=datetime.now(UTC))
    await Tenants(database).create(office.tenant, "Office", office.now)
    yield office
    await database.close()


async def drop(office: Office, after: timedelta = OLD, *, days: int = DAYS) -> dict[str, int]:
    return dict(await Records(office.database, days=days, content_days=30).purge_expired(office.now + after))


async def counts(office: Office, *tables: str) -> dict[str, int]:
    return {
        table: (await office.database.rows(text(f"SELECT count(*) AS n FROM {table}"), {}))[0].n for table in tables
    }


async def webhooks(office: Office, **settings: Any) -> WebhookRows:
    return await WebhookRows.make(office.database, office.tenant, office.now, **settings)


async def attempt(office: Office, delivery: str) -> None:
    statement = text(
        "INSERT INTO webhook_attempts (tenant_id, delivery_id, number, started_at) VALUES (:tenant, :id, 1, now())"
    )
    await office.database.execute(statement, {"tenant": office.tenant, "id": delivery})


async def test_message_that_ended_long_ago_goes_with_all_that_hangs_on_it(office: Office) -> None:
    message = await office.message(provider_id="p-1")
    await office.take(event(ReceiptEventType.DELIVERED, message))
    key = text(
        "INSERT INTO idempotency_keys (tenant_id, key, body_hash, message_id) VALUES (:tenant, 'k', '\\x00', :id)"
    )
    await office.database.execute(key, {"tenant": office.tenant, "id": message})
    assert all((await counts(office, *OF_MESSAGES)).values())
    assert await drop(office, timedelta(days=DAYS, hours=-1)) == {}
    assert await drop(office) == {"messages": 1}
    assert not any((await counts(office, *OF_MESSAGES)).values())
    with pytest.raises(NotFound):
        await office.story(message)


async def test_open_message_stays_however_old_it_is(office: Office) -> None:
    message = await office.message(Status.DEFERRED)
    assert await drop(office, timedelta(days=4_000)) == {}
    assert await office.status(message) is Status.DEFERRED


async def test_dead_letter_stays_as_long_as_its_content_and_one_that_was_discarded_does_not(office: Office) -> None:
    dead, discarded = [await office.message(Status.FAILED) for _ in range(2)]
    await office.database.execute(text("UPDATE messages SET discarded_at = now() WHERE id = :id"), {"id": discarded})
    assert await drop(office) == {"messages": 1}
    assert await office.status(dead) is Status.FAILED
    assert await drop(office, ANCIENT) == {"messages": 1}


async def test_record_of_a_tenant_stays_as_long_as_its_contents(office: Office) -> None:
    await office.message()
    contents = Contents(office.database, Vault(Vault.new_key()), 30)
    await contents.set_policy(office.tenant, encrypts=False, days=DAYS + 10, actor="test", now=office.now)
    assert await drop(office) == {}
    assert await drop(office, OLD + timedelta(days=10)) == {"messages": 1}


async def test_many_records_go_in_several_statements_past_those_that_stay(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    states = [Status.SENT, Status.SENT, Status.DEFERRED, Status.SENT] * 4
    for status in states:
        await office.message(status)
    beats: list[int] = []
    records = Records(office.database, days=DAYS, content_days=30)
    assert await records.purge_expired(office.now + OLD, beat=lambda: beats.append(1)) == {"messages": 12}
    assert len(beats) > 4
    assert (await counts(office, "messages"))["messages"] == 4


async def test_message_that_somebody_works_on_waits_for_the_next_run(office: Office) -> None:
    await office.message()
    async with office.database.begin() as connection:
        await connection.execute(text("SELECT 1 FROM messages FOR UPDATE"))
        assert await drop(office) == {}
    assert await drop(office) == {"messages": 1}


async def test_nothing_but_idle_rates_goes_where_records_are_kept_for_ever(office: Office) -> None:
    await office.message()
    ask = ReserveRequest(bucket="b", rate=1.0, tenant=office.tenant, weight=1.0, most=1, wanted=1)
    await Rates(office.database, TenantLimits(office.database)).reserve(ask, office.now)
    assert await drop(office, timedelta(hours=23), days=0) == {}
    assert await drop(office, timedelta(hours=25), days=0) == {"rates": 1, "rate_shares": 1}
    assert (await counts(office, "messages"))["messages"] == 1


async def test_worker_that_was_not_seen_for_a_day_goes_and_one_that_holds_its_lock_stays(office: Office) -> None:
    entered = text(
        "INSERT INTO workers (host, pid, started_at, seen_at) VALUES ('h', 1, :seen, :seen) RETURNING number"
    )

    async def enter(ago: timedelta) -> int:
        (row,) = await office.database.rows(entered, {"seen": office.now - ago})
        return int(row.number)

    killed, lately = await enter(timedelta(hours=25)), await enter(timedelta(hours=23))
    mute = await enter(timedelta(hours=25))
    async with office.database.autocommit() as connection:
        lock = text("SELECT pg_advisory_lock(CAST(:class AS int), CAST(:number AS int))")
        await connection.execute(lock, {"class": LOCK_CLASS, "number": mute})
        assert await drop(office, timedelta(0), days=0) == {"workers": 1}
        left = await office.database.rows(text("SELECT number FROM workers ORDER BY number"), {})
        assert [row.number for row in left] == [lately, mute]
        await connection.invalidate()
    assert killed not in await Workers(office.database).living({killed})


async def test_rate_whose_row_went_begins_as_one_that_was_idle(office: Office) -> None:
    rates = Rates(office.database, TenantLimits(office.database))
    ask = ReserveRequest(bucket="b", rate=4.0, tenant=None, weight=1.0, most=9, wanted=9)
    first = await rates.reserve(ask, office.now)
    assert await drop(office, timedelta(days=2)) == {"rates": 1}
    assert await rates.reserve(ask, office.now + timedelta(days=2)) == first


async def test_report_that_found_no_message_goes_by_its_own_age(office: Office) -> None:
    await office.take(event(ReceiptEventType.INBOUND), channel=Channel.SMS)
    await office.take(event(ReceiptEventType.DELIVERED, provider_message_id="unheard-of"))
    assert await drop(office) == {"receipts": 1}, "the other one has not been given up yet"
    office.later(days=2)
    await office.receipts.settle(office.now)
    assert await drop(office) == {"receipts": 1}


async def test_suppression_goes_long_after_it_expired_and_a_lasting_one_stays(office: Office) -> None:
    for number, expires_at in enumerate((office.now + timedelta(days=7), None)):
        to = f"{number}@example.com"
        entry = Entry(
            hash=fingerprint(Channel.EMAIL, to),
            address=to,
            channel=Channel.EMAIL,
            category=None,
            reason=Reason.MANUAL,
            source="test",
            expires_at=expires_at,
        )
        await office.suppressions.add(office.tenant, entry, actor="test", now=office.now)
    assert await drop(office) == {}
    assert await drop(office, OLD + timedelta(days=7)) == {"suppressions": 1}
    assert (await counts(office, "suppressions"))["suppressions"] == 1


async def test_removed_device_goes_and_the_last_one_of_a_contact_stays(office: Office) -> None:
    devices = Devices(office.database)
    for contact, tokens in {"ada": ("a1", "a2"), "bob": ("b1", "b2")}.items():
        for token in tokens:
            saved = await devices.register(office.tenant, contact, f"ExponentPushToken[{token}]", office.now)
            if token != "b2":
                await devices.remove(office.tenant, contact, saved.view.id, office.now)
    assert await drop(office) == {"devices": 2}
    assert await devices.tokens(office.tenant, "ada") == []
    assert await devices.tokens(office.tenant, "bob") == ["ExponentPushToken[b2]"]


async def test_delivery_that_ended_long_ago_goes_with_its_attempts(office: Office) -> None:
    rows = await webhooks(office)
    ended, still_open = await rows.add(DeliveryStatus.DELIVERED), await rows.add(DeliveryStatus.RETRYING)
    for delivery in (ended, still_open):
        await attempt(office, delivery)
    assert await drop(office) == {"webhook_deliveries": 1}
    assert await counts(office, "webhook_deliveries", "webhook_attempts") == {
        "webhook_deliveries": 1,
        "webhook_attempts": 1,
    }


@pytest.mark.parametrize("status", [DeliveryStatus.FAILED, DeliveryStatus.PARKED])
async def test_delivery_that_can_be_replayed_stays_as_long_as_its_event(office: Office, status: DeliveryStatus) -> None:
    rows = await webhooks(office)
    kept, discarded = await rows.add(status), await rows.add(status)
    await rows.discard(discarded)
    assert await drop(office) == {"webhook_deliveries": 1}
    assert await rows.status(kept) is status
    assert await drop(office, ANCIENT) == {"webhook_deliveries": 1}


async def test_delivery_that_blocks_its_line_stays_until_it_is_discarded(office: Office) -> None:
    rows = await webhooks(office, choice="block")
    first = await rows.add(DeliveryStatus.FAILED, key="k")
    await rows.add(DeliveryStatus.QUEUED, key="k")
    assert await drop(office, ANCIENT) == {}
    order = WebhookOrder(office.database)
    assert (await order.head(office.tenant, rows.endpoint, "k")).blocked_by == first
    await rows.discard(first)
    assert await drop(office, ANCIENT) == {"webhook_deliveries": 1}


async def test_deleted_endpoint_goes_after_its_last_delivery(office: Office) -> None:
    rows = await webhooks(office)
    await rows.add(DeliveryStatus.DELIVERED)
    await rows.add(DeliveryStatus.FAILED)
    await office.database.execute(text("UPDATE webhook_endpoints SET deleted_at = :now"), {"now": office.now})
    assert await drop(office) == {"webhook_deliveries": 1}
    assert await drop(office, ANCIENT) == {"webhook_deliveries": 1, "webhook_endpoints": 1}


async def test_notices_that_were_told_and_replays_that_ended_go_by_their_age(office: Office) -> None:
    names = {"tenant": office.tenant, "now": office.now}
    for number, told in enumerate((True, False)):
        notice = text(
            "INSERT INTO webhook_notices (tenant_id, endpoint_id, disabled_at, reason, announced_at, written_at) "
            "VALUES (:tenant, :id, :now, 'gone', :now, CASE WHEN :told THEN CAST(:now AS timestamptz) END)"
        )
        replay = text(
            "INSERT INTO webhook_replays (tenant_id, id, endpoint_id, filter, per_second, status, matching, "
            "workflow_id, finished_at) VALUES (:tenant, :id, 'e', '{}', 1, 'done', 0, 'w', "
            "CASE WHEN :told THEN CAST(:now AS timestamptz) END)"
        )
        for statement in (notice, replay):
            await office.database.execute(statement, names | {"id": str(number), "told": told})
    assert await drop(office) == {"webhook_replays": 1, "webhook_notices": 1}


async def test_deleted_tenant_stays_while_somebody_holds_a_row_of_it(office: Office) -> None:
    tenants = Tenants(office.database)
    await office.message()
    await office.database.execute(text("UPDATE tenants SET deleted_at = now() WHERE id = :id"), {"id": office.tenant})
    records = Records(office.database, days=0, content_days=30)
    async with office.database.begin() as connection:
        await connection.execute(text("SELECT 1 FROM messages FOR UPDATE"))
        await records.drop_deleted_tenants(only=office.tenant)
    with pytest.raises(Conflict):
        await tenants.create(office.tenant, "Another", office.now)
    await records.drop_deleted_tenants(only=office.tenant)
    assert (await counts(office, "messages", "tenants")) == {"messages": 0, "tenants": 0}


async def test_only_a_tenant_that_was_deleted_is_dropped_and_others_stay(office: Office) -> None:
    tenants = Tenants(office.database)
    await office.message()
    await tenants.create("gone", "Gone", office.now)
    await tenants.delete("gone", actor="test", now=office.now)
    records = Records(office.database, days=0, content_days=30)
    await records.drop_deleted_tenants(only=office.tenant)
    assert (await counts(office, "messages", "tenants")) == {"messages": 1, "tenants": 2}
    await records.drop_deleted_tenants(only="gone")
    assert (await counts(office, "messages", "tenants")) == {"messages": 1, "tenants": 1}
    await tenants.create("gone", "Again", office.now)
