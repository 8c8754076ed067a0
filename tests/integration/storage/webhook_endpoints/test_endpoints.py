"""Webhook endpoints in the database: sealed secrets that rotate, changes that leave the rest alone, and their cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from hermod.contracts.errors import NotFound, Unavailable
from hermod.contracts.notifications.retries import Preset
from hermod.contracts.webhooks.deliveries import DeliveryStatus, EndpointSettings, NewEndpoint, Ordering
from hermod.contracts.webhooks.notices import EndpointDisabled
from hermod.outbound.webhooks.signatures import public_key
from hermod.ports.webhooks.ledger import Endpoint
from hermod.storage.database.engine import Database
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.tenants import Tenants
from hermod.storage.webhook_endpoints.endpoints import WebhookEndpoints
from hermod.storage.webhook_endpoints.notices import Notice, WebhookNotices
from tests.support.proxies.postgres_proxy import PostgresProxy
from tests.support.webhooks.rows import WebhookRows

OLD, NEW = Vault.new_key(), Vault.new_key()
NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECRETS = {"authorization": "Bearer very-secret"}


def settings(**changes: Any) -> EndpointSettings:
    return EndpointSettings.model_validate({"url": "https://example.com/hook", "headers": SECRETS} | changes)


@dataclass
class Hands:
    """The endpoints of the tenant `demo`, and a clock that is moved by hand."""

    database: Database
    endpoints: WebhookEndpoints
    time: datetime = NOW

    def now(self) -> datetime:
        return self.time

    def anew(self, keys: str = OLD) -> WebhookEndpoints:
        """As another process sees them, which remembers nothing."""
        return WebhookEndpoints(self.database, Vault(keys), self)

    async def create(self, **changes: Any) -> NewEndpoint:
        return await self.endpoints.create("demo", settings(**changes), actor="test", now=self.time)

    async def change(self, endpoint: str, **changes: Any) -> Any:
        return await self.endpoints.update(
            "demo",
            endpoint,
            lambda current: current.model_copy(update=changes),
            named=changes,
            actor="test",
            now=self.time,
        )

    async def read(self, endpoint: str) -> Endpoint:
        found = await self.anew().endpoint("demo", endpoint)
        assert found is not None
        return found

    async def set(self, endpoint: str, assignments: str) -> None:
        statement = text(f"UPDATE webhook_endpoints SET {assignments} WHERE id = :id")
        await self.database.execute(statement, {"id": endpoint})
        self.endpoints.forget("demo", endpoint)

    async def everything(self) -> str:
        """All that the database holds of endpoints, as text."""
        rows = await self.database.rows(
            text(
                "SELECT row_to_json(e)::text || encode(e.secrets, 'escape') AS row FROM webhook_endpoints e "
                "UNION ALL SELECT row_to_json(a)::text FROM audit a"
            ),
            {},
        )
        return "".join(row.row for row in rows)

    async def audit(self) -> list[tuple[str, Any]]:
        rows = await self.database.rows(text("SELECT action, detail FROM audit ORDER BY id"), {})
        return [(row.action, row.detail) for row in rows]


@pytest.fixture
async def hands(database_url: str) -> AsyncIterator[Hands]:
    database = Database(database_url)
    await Tenants(database).create("demo", "Demo", NOW)
    await Tenants(database).create("other", "Other", NOW)
    made = Hands(database, None)  # type: ignore[arg-type]
    made.endpoints = made.anew()
    yield made
    await database.close()


async def test_endpoint_created_is_what_deliveries_get(hands: Hands) -> None:
    made = await hands.create(retry=[1, 2.5], rate_per_second=3, ordering="by_key", when_exhausted="skip", skip_after=2)
    found = await hands.read(made.id)
    assert (found.keys, dict(found.headers), found.url) == ((made.secret,), SECRETS, "https://example.com/hook")
    assert [wait.total_seconds() for wait in found.waits] == [1, 2.5]
    assert (found.timeout, found.rate_per_second, found.concurrency) == (timedelta(seconds=15), 3, 10)
    assert (found.ordering, found.when_exhausted.value, found.skip_after) == (Ordering.BY_KEY, "skip", 2)
    assert (found.enabled, found.paused_until, found.pause_count, found.revision) == (True, None, 0, 1)


async def test_no_secret_is_readable_in_the_database_or_shown_again(hands: Hands) -> None:
    made = await hands.create(asymmetric=True)
    rotated = await hands.endpoints.rotate("demo", made.id, DAY, actor="test", now=NOW)
    await hands.change(made.id, headers=SECRETS | {"x-more": "hidden"})
    stored, shown = await hands.everything(), (await hands.endpoints.get("demo", made.id, NOW)).model_dump_json()
    pair = (await hands.read(made.id)).keys[-1]
    for secret in (made.secret, rotated.secret, pair, "very-secret", "hidden"):
        assert secret.removeprefix("whsec_") not in stored
        assert secret not in shown
    assert (made.public_key, made.headers) == (public_key(pair), ("authorization",))


async def test_rotation_signs_with_both_until_its_end_and_then_drops_the_old_one(hands: Hands) -> None:
    made = await hands.create()
    rotated = await hands.endpoints.rotate("demo", made.id, timedelta(hours=36), actor="test", now=NOW)
    assert rotated.old_valid_until == NOW + timedelta(hours=36)
    hands.time = rotated.old_valid_until - timedelta(seconds=1)
    assert (await hands.read(made.id)).keys == (rotated.secret, made.secret)
    hands.time = rotated.old_valid_until
    found = await hands.read(made.id)
    assert (found.keys, found.revision) == ((rotated.secret,), 2)


async def test_rotations_at_the_same_time_lose_no_secret(hands: Hands) -> None:
    made = await hands.create()
    rotated = await asyncio.gather(
        *(hands.endpoints.rotate("demo", made.id, DAY, actor="test", now=NOW) for _ in range(5))
    )
    assert set((await hands.read(made.id)).keys) == {made.secret, *(one.secret for one in rotated)}


async def test_change_leaves_everything_else_as_it_was(hands: Hands) -> None:
    made = await hands.create(asymmetric=True, description="mine", retry="webhook-fast")
    before = await hands.read(made.id)
    view = await hands.change(made.id, description="yours")
    after = await hands.read(made.id)
    assert (view.description, view.timeout_seconds, after.revision) == ("yours", 10, before.revision + 1)
    assert (after.keys, after.headers, after.waits) == (before.keys, before.headers, before.waits)
    assert (await hands.audit())[-1] == ("webhook_endpoint.update", {"changed": ["description"]})


async def test_timeout_that_nobody_chose_follows_the_schedule(hands: Hands) -> None:
    made = await hands.create()
    assert (made.timeout_seconds, (await hands.change(made.id, retry=Preset.WEBHOOK_FAST)).timeout_seconds) == (15, 10)


async def test_key_pair_comes_stays_and_goes_with_the_wish_for_it(hands: Hands) -> None:
    made = await hands.create()
    with_pair = await hands.change(made.id, asymmetric=True)
    assert with_pair.public_key is not None
    assert (await hands.change(made.id, description="x")).public_key == with_pair.public_key
    assert (await hands.change(made.id, asymmetric=False)).public_key is None
    assert (await hands.read(made.id)).keys == (made.secret,)
    assert (await hands.change(made.id, asymmetric=True)).public_key not in (None, with_pair.public_key)


async def test_database_goes_away_after_a_change_was_committed_the_change_is_told(
    database_url: str, database_proxy: PostgresProxy, hands: Hands
) -> None:
    made = await hands.create()
    database = Database(database_proxy.through(database_url))
    away = Hands(database, hands.endpoints)
    away.endpoints = away.anew()
    rule = database_proxy.cut_after_commit("UPDATE webhook_deliveries", and_refuse=True)
    view = await away.change(made.id, enabled=False, description="closed")
    assert (view.enabled, view.description) == (False, "closed")
    assert rule.matched
    assert not (await hands.read(made.id)).enabled
    await database.close()


async def trouble(hands: Hands, endpoint: str) -> None:
    await hands.set(
        endpoint,
        "enabled = false, disabled_reason = 'failing', disabled_at = now(), paused_until = now() + interval '9 years', "
        "pause_reason = 'failing', pause_count = 3, concurrency = 1.5, slowed_at = now(), failing_since = now(), "
        "failed_at = now(), failures = 12",
    )


async def test_enabling_forgets_all_trouble(hands: Hands) -> None:
    made = await hands.create()
    await trouble(hands, made.id)
    view = await hands.endpoints.get("demo", made.id, NOW)
    assert (view.enabled, view.disabled_reason, view.concurrency) == (False, "failing", 1)
    assert view.paused_until is not None
    view = await hands.change(made.id, enabled=True)
    assert (view.enabled, view.disabled_reason, view.disabled_at, view.paused_until) == (True, None, None, None)
    assert (view.concurrency, view.health.failing_since) == (10, None)
    found = await hands.read(made.id)
    assert (found.pause_reason, found.pause_count, found.concurrency) == (None, 0, 10)
    rows = await hands.database.rows(text("SELECT failures, failed_at, slowed_at FROM webhook_endpoints"), {})
    assert tuple(rows[0]) == (0, None, None)
    assert (await hands.audit())[-1] == ("webhook_endpoint.enable", {"changed": ["enabled"]})


async def test_another_url_forgets_the_trouble_of_the_old_one_but_enables_nothing(hands: Hands) -> None:
    made = await hands.create()
    await trouble(hands, made.id)
    view = await hands.change(made.id, url="https://example.com/other")
    assert (view.paused_until, view.concurrency, view.health.failing_since) == (None, 10, None)
    assert (view.enabled, view.disabled_reason) == (False, "failing")


async def test_other_changes_leave_the_trouble_where_it_is(hands: Hands) -> None:
    made = await hands.create()
    await trouble(hands, made.id)
    view = await hands.change(made.id, description="x", enabled=False)
    assert (view.concurrency, view.disabled_reason) == (1, "failing")
    assert view.paused_until is not None
    assert (await hands.read(made.id)).pause_count == 3


async def test_disabling_by_hand_says_so(hands: Hands) -> None:
    made = await hands.create(enabled=False)
    assert (made.enabled, made.disabled_reason, made.disabled_at) == (False, "manual", NOW)
    other = await hands.create()
    view = await hands.change(other.id, enabled=False)
    assert (view.enabled, view.disabled_reason, view.disabled_at) == (False, "manual", NOW)


@pytest.mark.parametrize(("now_at", "new_most", "then"), [(10, 20, 20), (4, 20, 4), (10, 3, 3), (2, 3, 2)])
async def test_concurrency_follows_its_maximum_unless_it_was_lowered(
    hands: Hands, now_at: int, new_most: int, then: int
) -> None:
    made = await hands.create()
    await hands.set(made.id, f"concurrency = {now_at}")
    assert (await hands.change(made.id, max_concurrency=new_most)).concurrency == then


async def test_view_counts_the_last_hour_and_what_is_parked(hands: Hands) -> None:
    rows = await WebhookRows.make(hands.database, "demo", NOW)
    statement = text(
        "INSERT INTO webhook_health VALUES ('demo', :id, :old, 50, 50), ('demo', :id, :recent, 3, 1), "
        "('demo', :id, :now, 2, 2), ('other', :id, :now, 9, 9)"
    )
    times = {"old": NOW - timedelta(minutes=61), "recent": NOW - timedelta(minutes=59), "now": NOW}
    await hands.database.execute(statement, {"id": rows.endpoint} | times)
    for status in (DeliveryStatus.PARKED, DeliveryStatus.PARKED, DeliveryStatus.FAILED, DeliveryStatus.DELIVERED):
        await rows.add(status)
    view = await hands.endpoints.get("demo", rows.endpoint, NOW)
    assert (view.health.succeeded, view.health.failed, view.parked) == (5, 3, 2)
    assert (await hands.endpoints.page("demo", cursor=None, limit=5, now=NOW)).items == (view,)


async def test_deleted_endpoint_is_gone_for_everybody_and_its_secrets_with_it(hands: Hands) -> None:
    made = await hands.create()
    assert await hands.endpoints.endpoint("demo", made.id) is not None
    await hands.endpoints.delete("demo", made.id, actor="test", now=NOW)
    assert await hands.endpoints.endpoint("demo", made.id) is None
    assert (await hands.endpoints.subscriptions("demo")).to("order.paid", {}) == ()
    assert (await hands.endpoints.page("demo", cursor=None, limit=5, now=NOW)).items == ()
    with pytest.raises(NotFound):
        await hands.endpoints.get("demo", made.id, NOW)
    with pytest.raises(NotFound):
        await hands.change(made.id, enabled=True)
    with pytest.raises(NotFound):
        await hands.endpoints.rotate("demo", made.id, DAY, actor="test", now=NOW)
    with pytest.raises(NotFound):
        await hands.endpoints.delete("demo", made.id, actor="test", now=NOW)
    rows = await hands.database.rows(text("SELECT secrets, url FROM webhook_endpoints"), {})
    assert (bytes(rows[0].secrets), rows[0].url) == (b"", "https://example.com/hook")
    assert await hands.anew(NEW).reseal() == (0, ())


async def test_endpoints_of_other_tenants_are_not_there(hands: Hands) -> None:
    made = await hands.create()
    assert await hands.endpoints.endpoint("other", made.id) is None
    assert (await hands.endpoints.subscriptions("other")).to("order.paid", {}) == ()
    with pytest.raises(NotFound):
        await hands.endpoints.get("other", made.id, NOW)
    with pytest.raises(NotFound):
        await hands.endpoints.delete("other", made.id, actor="test", now=NOW)
    assert (await hands.endpoints.page("other", cursor=None, limit=5, now=NOW)).items == ()


async def test_event_finds_the_endpoints_that_asked_disabled_ones_too(hands: Hands) -> None:
    orders = await hands.create(event_types=["order.*"], ordering="by_key")
    everything = await hands.create(enabled=False)
    await hands.create(event_types=["refund.created"])
    assert (await hands.endpoints.subscriptions("demo")).to("order.paid", {}) == (
        (orders.id, Ordering.BY_KEY),
        (everything.id, Ordering.NONE),
    )
    assert (await hands.endpoints.subscriptions("demo")).to("order", {}) == ((everything.id, Ordering.NONE),)
    await hands.change(orders.id, event_types=("order",))
    assert [one.id for one in (await hands.endpoints.subscriptions("demo")).to("order", {})] == [
        orders.id,
        everything.id,
    ]


async def test_endpoint_is_remembered_for_a_moment_and_read_again_when_it_changes_here(hands: Hands) -> None:
    made = await hands.create()
    first = await hands.endpoints.endpoint("demo", made.id)
    assert await hands.endpoints.endpoint("demo", made.id) is first
    await hands.change(made.id, rate_per_second=7.0)
    changed = await hands.endpoints.endpoint("demo", made.id)
    assert changed is not None
    assert changed.rate_per_second == 7


async def test_secrets_survive_a_rotation_of_the_installations_key(hands: Hands) -> None:
    made = await hands.create(asymmetric=True)
    assert await hands.anew(f"{NEW},{OLD}").reseal() == (1, ())
    found = await hands.anew(NEW).endpoint("demo", made.id)
    assert found is not None
    assert (found.keys[0], dict(found.headers)) == (made.secret, SECRETS)


async def test_secrets_that_do_not_open_make_the_endpoint_wait_and_not_disappear(hands: Hands) -> None:
    made = await hands.create()
    strange = hands.anew(NEW)
    with pytest.raises(Unavailable, match="secrets cannot be read"):
        await strange.endpoint("demo", made.id)
    with pytest.raises(Unavailable):
        await strange.rotate("demo", made.id, DAY, actor="test", now=NOW)
    assert await strange.reseal() == (0, (f"demo/{made.id}",))
    assert (await strange.unreadable("demo"), await hands.endpoints.unreadable("demo")) == ([made.id], [])
    assert (await strange.get("demo", made.id, NOW)).id == made.id
    assert [one.id for one in (await strange.subscriptions("demo")).to("x", {})] == [made.id]


async def test_every_change_is_in_the_audit(hands: Hands) -> None:
    made = await hands.create()
    await hands.change(made.id, url="https://example.com/?token=secret", headers={})
    await hands.endpoints.rotate("demo", made.id, timedelta(hours=1.5), actor="test", now=NOW)
    await hands.change(made.id, enabled=True)
    await hands.endpoints.delete("demo", made.id, actor="test", now=NOW)
    assert [one for one in await hands.audit() if one[0].startswith("webhook_endpoint.")] == [
        ("webhook_endpoint.create", {}),
        ("webhook_endpoint.update", {"changed": ["url", "headers"]}),
        ("webhook_endpoint.rotate_secret", {"overlap_hours": 1.5}),
        ("webhook_endpoint.enable", {"changed": []}),
        ("webhook_endpoint.delete", {}),
    ]


async def test_what_another_process_was_answered_about_an_endpoint_holds_for_the_next_event(hands: Hands) -> None:
    made, other = await hands.create(event_types=["order.paid"]), hands.anew()
    assert [one.id for one in (await other.subscriptions("demo")).to("order.paid", {})] == [made.id]
    await hands.change(made.id, event_types=("form.submitted",))
    added = await hands.create(event_types=["form.*"])
    asked = await other.subscriptions("demo")
    assert [one.id for one in asked.to("form.submitted", {})] == [made.id, added.id]
    assert asked.to("order.paid", {}) == ()


async def test_endpoint_that_another_process_changed_is_read_again_for_a_delivery_that_knows_of_it(
    hands: Hands,
) -> None:
    made, other = await hands.create(), hands.anew()
    remembered = await other.endpoint("demo", made.id)
    assert remembered is not None
    await hands.change(made.id, url="https://example.com/new")
    current = await other.endpoint("demo", made.id, remembered.revision + 1)
    assert current is not None
    assert current.url == "https://example.com/new"
    assert await other.endpoint("demo", made.id, current.revision) is current
    await hands.endpoints.delete("demo", made.id, actor="test", now=NOW)
    assert await other.endpoint("demo", made.id, current.revision + 1) is None


async def test_notice_of_a_disabled_endpoint_goes_to_those_whose_filters_let_it_through(hands: Hands) -> None:
    named = {"event_types": ["endpoint.disabled"]}
    disabled, every = await hands.create(), await hands.create(**named)
    gone = await hands.create(**named, filter=[{"path": "data.reason", "value": "gone"}])
    await hands.create(**named, filter=[{"path": "data.reason", "op": "ne", "value": "gone"}])
    told = EndpointDisabled(
        endpoint_id=disabled.id, url=disabled.url, description=None, reason="gone", disabled_at=NOW, failing_since=None
    )
    notice = Notice(tenant="demo", told=told, announced=False, written=True, owner_email=None)
    assert await WebhookNotices(hands.database).listeners(notice) == [every.id, gone.id]
