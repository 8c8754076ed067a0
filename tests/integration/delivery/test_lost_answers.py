"""The connection is cut after the commit: what was taken in is taken once, started once, and answered as ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from devstack.demo.stripe_stand_in import StripePayment
from hermod.contracts.errors import MaybeStored
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Options, Status, Submission
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from hermod.domain.payments.stripe_events import read_event
from starter import Hermod
from starter.analytics.validation import validate
from starter.webhooks.deliveries import delivery_status
from tests.support.forms.rows import add_form
from tests.support.product import ProductFixture
from tests.support.proxies.postgres_proxy import PostgresProxy
from tests.support.webhooks.product import add_endpoint

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")
UNREACHABLE = "http://127.0.0.1:9/hooks"


@dataclass(frozen=True)
class Shop:
    """A running product, and a client of the same tenant that reaches the database through a proxy."""

    house: ProductFixture
    client: Hermod
    database: PostgresProxy

    async def count(self, table: str) -> int:
        return len(await self.rows(f"SELECT 1 FROM {table} WHERE tenant_id = :tenant"))

    async def rows(self, statement: str) -> Any:
        return await self.house.hermod.core.storage.database.rows(text(statement), {"tenant": self.house.hermod.tenant})


@pytest.fixture
async def shop(house: ProductFixture) -> AsyncIterator[Shop]:
    settings = house.hermod.core.settings
    url = settings.database_url.get_secret_value()
    async with PostgresProxy.before(url) as database:
        own = settings.model_copy(update={"database_url": SecretStr(database.through(url))})
        async with await Hermod.connect(settings=own, temporal=house.client, tenant=house.hermod.tenant) as client:
            yield Shop(house, client, database)


@pytest.mark.parametrize("key", [None, "k"])
async def test_message_is_committed_and_its_answer_lost_it_is_accepted_once(shop: Shop, key: str | None) -> None:
    await shop.house.add_account("main")
    lost = shop.database.cut_after_commit("INSERT INTO messages")
    receipt = await shop.client.send(LETTER, idempotency_key=key)
    assert lost.matched
    assert await shop.count("messages") == 1
    await shop.client.core.coalescer.drain()
    assert (await shop.house.hermod.status(receipt.id)).status is not Status.PENDING
    assert len((await shop.house.reached(receipt.id, Status.SENT)).attempts) == 1
    if key is not None:
        assert (await shop.client.send(LETTER, idempotency_key=key)).id == receipt.id


async def test_batch_is_committed_and_its_answer_lost_every_message_is_accepted_once(shop: Shop) -> None:
    await shop.house.add_account("main")
    before = await shop.client.send(LETTER, idempotency_key="before")
    keys = [None, "a", None, "b", "a", "before"]
    asked = [Submission(content=LETTER, options=Options(), idempotency_key=key) for key in keys]
    await shop.client.core.coalescer.drain()
    lost = shop.database.cut_after_commit("INSERT INTO messages")
    taken = await shop.client.send_many(asked)
    assert lost.matched
    ids = [receipt.id for receipt in taken.receipts]
    assert len(ids) == 6
    assert (ids[1], ids[5]) == (ids[4], before.id)
    assert await shop.count("messages") == len(set(ids)) == 5
    for message in set(ids):
        assert len((await shop.house.reached(message, Status.SENT)).attempts) == 1


@pytest.mark.parametrize("event_id", [None, "order-1"])
async def test_webhook_event_is_committed_and_its_answer_lost_its_delivery_is_started_at_once(
    shop: Shop, event_id: str | None
) -> None:
    await add_endpoint(shop.house, UNREACHABLE)
    lost = shop.database.cut_after_commit("INSERT INTO webhook_events")
    receipt = await shop.client.emit("order.paid", {"id": 1}, event_id=event_id)
    assert lost.matched
    assert await shop.count("webhook_events") == await shop.count("webhook_deliveries") == 1
    await shop.client.core.webhooks.drain()
    (delivery,) = receipt.deliveries
    assert (await delivery_status(shop.house.hermod, delivery.id)).status is not DeliveryStatus.PENDING


async def test_submission_is_committed_and_its_answer_lost_it_is_processed_once(shop: Shop) -> None:
    await add_form(shop.house.hermod.core.storage.database, shop.house.hermod.tenant)
    lost = shop.database.cut_after_commit("COMMIT")
    receipt = await shop.client.submit("order", {"size": 1}, session="session-1")
    assert lost.matched
    await shop.client.core.submissions.drain()
    (row,) = await shop.rows("SELECT id, status FROM form_submissions WHERE tenant_id = :tenant")
    assert row.id == receipt.id
    assert row.status != "pending"
    steps = await shop.rows("SELECT 1 FROM journey_steps WHERE tenant_id = :tenant AND kind = 'submission.received'")
    assert len(steps) == 1


async def test_revision_is_committed_and_its_answer_lost_it_is_stored_and_looked_at(shop: Shop) -> None:
    await add_form(shop.house.hermod.core.storage.database, shop.house.hermod.tenant)
    lost = shop.database.cut_after_commit("INSERT INTO form_partials")
    receipt = await shop.client.save_partial("order", "session-1", {"size": 1}, revision=1)
    assert lost.matched
    assert (receipt.stored, receipt.revision) == (True, 1)
    steps = await shop.rows("SELECT 1 FROM journey_steps WHERE tenant_id = :tenant AND kind = 'form.partial'")
    assert len(steps) == 1


@pytest.mark.parametrize("ids", [(None, None), ("1", "2"), ("1", None)])
async def test_events_are_committed_and_their_answer_lost_they_are_stored_once(
    shop: Shop, ids: tuple[str | None, str | None]
) -> None:
    keyed = any(ids)
    lost = (
        shop.database.cut_after_commit("COMMIT")
        if keyed
        else shop.database.cut_after_commit("INSERT INTO event_batches")
    )
    receipt = await shop.client.track_many([{"type": "page.viewed", "event_id": one} for one in ids])
    assert lost.matched
    assert (receipt.accepted, receipt.duplicates) == (2, 0)


async def test_events_are_handed_on_before_they_are_asked_for_again_they_are_not_stored_again(shop: Shop) -> None:
    """Rows of events go as soon as ClickHouse has them, and the second run would find nothing of the first."""
    house = shop.house.hermod
    acceptance, now = shop.client.core.storage.event_acceptance, datetime.now(UTC)
    database = shop.client.core.storage.database
    runs = []

    async def twice(work: Any, **options: Any) -> Any:
        for _ in range(2):
            async with database.begin() as connection:
                runs.append(await work(connection))
            await house.core.storage.database.execute(
                text("DELETE FROM event_batches WHERE tenant_id = :tenant"), {"tenant": house.tenant}
            )
        return runs[-1]

    for given in ([{"type": "a"}], [{"type": "a", "event_id": "1"}, {"type": "a"}]):
        lines = validate(house.tenant, given, 0, now).good
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database, "idempotent", twice)
            assert await acceptance.take(house.tenant, lines, now) == [True] * len(given)
        assert await shop.count("event_batches") == 0


async def test_payment_is_committed_and_its_answer_lost_it_is_kept_once(shop: Shop) -> None:
    await add_form(shop.house.hermod.core.storage.database, shop.house.hermod.tenant, payment={"expires_in": 3600})
    own = await shop.client.submit("order", {"size": 1})
    event = read_event(StripePayment(own.id, amount=4_200, currency="jpy").succeeded())
    lost = shop.database.cut_after_commit("COMMIT")
    await shop.client.core.payments.take(shop.client.tenant, event)
    assert lost.matched
    (row,) = await shop.rows("SELECT amount FROM form_submissions WHERE tenant_id = :tenant")
    assert row.amount == 4_200
    assert await shop.count("payment_events") == 1


async def test_database_goes_away_within_a_long_call_it_says_what_is_stored(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starter.notifications.coalescer.MAX_BATCH", 2)
    await shop.house.add_account("main")

    async def take(*args: Any) -> Any:
        taken = await real(*args)
        shop.database.shut()
        return taken

    acceptance = shop.client.core.storage.acceptance
    real = acceptance.take
    monkeypatch.setattr(acceptance, "take", take)
    with pytest.raises(MaybeStored, match="the first 2 messages are stored"):
        await shop.client.send_many([LETTER] * 4)
    assert await shop.count("messages") == 2
    await shop.database.accept()
