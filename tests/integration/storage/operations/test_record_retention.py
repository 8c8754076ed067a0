"""Records by age and by count, as a tenant says: so long or so many of those sent, and of those that failed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from hermod.contracts.notifications.messages import Status
from hermod.contracts.tenants.retention import Retention
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from hermod.storage.database.engine import Database
from hermod.storage.operations.records import Records
from hermod.storage.operations.retention import TenantRetention
from hermod.storage.tenants.tenants import Tenants
from tests.integration.storage.reporting import Office
from tests.support.webhooks.rows import WebhookRows

DAY = timedelta(days=1)


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    database = Database(database_url)
    office = Office(database, now=datetime.now(UTC))
    await Tenants(database).create(office.tenant, "Office", office.now)
    yield office
    await database.close()


async def keep(office: Office, **kinds: Any) -> None:
    retention = Retention.model_validate(kinds)
    await TenantRetention(office.database).put(office.tenant, retention, actor="test", now=office.now)


async def left(office: Office, after: timedelta, *, days: int = 400) -> set[str]:
    """The messages that are left when the retention has run so long after they ended."""
    await Records(office.database, days=days, content_days=30).purge_expired(office.now + after)
    rows = await office.database.rows(text("SELECT id FROM messages"), {})
    return {row.id for row in rows}


async def test_completed_and_failed_messages_go_after_an_age_of_their_own(office: Office) -> None:
    await keep(office, messages={"completed": {"age": "24h"}, "failed": {"age": "7d"}})
    sent, failed, open_ = [await office.message(one) for one in (Status.SENT, Status.FAILED, Status.DEFERRED)]
    assert await left(office, timedelta(hours=23)) == {sent, failed, open_}
    assert await left(office, timedelta(hours=25)) == {failed, open_}
    assert await left(office, 6 * DAY) == {failed, open_}
    assert await left(office, 8 * DAY) == {open_}


async def test_messages_beyond_the_count_go_and_the_newest_stay(office: Office) -> None:
    await keep(office, messages={"completed": {"count": 2}, "failed": {"count": 1}})
    sent = sorted([await office.message(Status.SENT) for _ in range(4)])
    failed = sorted([await office.message(Status.FAILED) for _ in range(3)])
    assert await left(office, timedelta(hours=2)) == {*sent[-2:], failed[-1]}


async def test_count_that_is_zero_keeps_none_and_age_counts_beside_it(office: Office) -> None:
    await keep(office, messages={"completed": {"count": 0}, "failed": {"count": 5, "age": "24h"}})
    await office.message(Status.SENT)
    failed = await office.message(Status.FAILED)
    assert await left(office, timedelta(hours=2)) == {failed}
    assert await left(office, timedelta(hours=25)) == set()


async def test_nothing_goes_within_an_hour_of_its_end_whatever_the_count(office: Office) -> None:
    await keep(office, messages={"completed": {"count": 0}})
    sent = await office.message(Status.SENT)
    assert await left(office, timedelta(minutes=50)) == {sent}
    assert await left(office, timedelta(minutes=70)) == set()


async def test_message_with_an_idempotency_key_stays_a_day_so_that_a_repeat_is_known(office: Office) -> None:
    await keep(office, messages={"completed": {"count": 0}})
    keyed, other = [await office.message(Status.SENT) for _ in range(2)]
    await office.database.execute(
        text(
            "INSERT INTO idempotency_keys (tenant_id, key, body_hash, message_id) VALUES (:tenant, 'k', '\\x00', :id)"
        ),
        {"tenant": office.tenant, "id": keyed},
    )
    assert await left(office, timedelta(hours=2)) == {keyed}
    assert other != keyed
    assert await left(office, timedelta(hours=25)) == set()


async def test_unknown_outcome_is_not_dropped_by_a_count(office: Office) -> None:
    await keep(office, messages={"failed": {"count": 0}})
    unknown, failed = await office.message(Status.UNKNOWN), await office.message(Status.FAILED)
    assert await left(office, DAY) == {unknown}
    assert failed not in await left(office, 91 * DAY)


async def test_what_a_tenant_says_nothing_of_is_kept_as_usual(office: Office) -> None:
    await keep(office, messages={"completed": {"age": "24h"}})
    failed = await office.message(Status.FAILED)
    assert await left(office, 80 * DAY, days=40) == {failed}
    assert await left(office, 91 * DAY, days=40) == set()


async def test_tenant_keeps_its_own_count_though_others_are_kept_for_ever(office: Office) -> None:
    await Tenants(office.database).create("other", "Other", office.now)
    await keep(office, messages={"completed": {"age": "24h"}})
    sent = await office.message(Status.SENT)
    await office.database.execute(
        text("UPDATE messages SET tenant_id = 'other' WHERE id = :id"), {"id": await office.message(Status.SENT)}
    )
    remaining = await left(office, 800 * DAY, days=0)
    assert len(remaining) == 1
    assert sent not in remaining


async def test_retention_of_one_tenant_cannot_be_read_the_others_are_kept_to_theirs(office: Office) -> None:
    await keep(office, messages={"completed": {"count": 0}})
    await Tenants(office.database).create("a-broken-one", "Broken", office.now)
    broken = text("""UPDATE tenants SET retention = '{"messages": 7}' WHERE id = 'a-broken-one'""")
    await office.database.execute(broken, {})
    await office.message(Status.SENT)
    assert await left(office, timedelta(hours=2)) == set()


async def test_webhook_deliveries_are_kept_by_kind_as_well(office: Office) -> None:
    await keep(office, webhook_deliveries={"completed": {"count": 1}, "failed": {"age": "7d"}})
    rows = await WebhookRows.make(office.database, office.tenant, office.now)
    done = sorted([await rows.add(DeliveryStatus.DELIVERED) for _ in range(3)])
    failed, parked = await rows.add(DeliveryStatus.FAILED), await rows.add(DeliveryStatus.PARKED)
    records = Records(office.database, days=400, content_days=30)
    await records.purge_expired(office.now + timedelta(hours=2))
    found = await office.database.rows(text("SELECT id FROM webhook_deliveries"), {})
    assert {row.id for row in found} == {done[-1], failed, parked}
    await records.purge_expired(office.now + 8 * DAY)
    assert {row.id for row in await office.database.rows(text("SELECT id FROM webhook_deliveries"), {})} == {done[-1]}
