"""Deleting accounts and tenants: refused while something hangs on them, and put down in the audit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Status
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from starter.tenants.tokens import issue
from tests.integration.api.conftest import EMAIL, Api, assert_problem, new_api
from tests.support.webhooks.rows import WebhookRows

_ATTEMPT = text("""
    INSERT INTO attempts (tenant_id, message_id, number, round, account, provider, outcome, started_at,
                          account_revision)
    VALUES (:tenant, :id, 1, 1, 'main-email', 'sandbox', :outcome, now(), 1)
""")


async def delete(api: Api, name: str = "main-email") -> httpx.Response:
    return await api.client.delete(f"/v1/provider-accounts/{name}")


async def asked_once(api: Api, message: str, outcome: str | None) -> None:
    database = api.hermod.core.storage.database
    await database.execute(_ATTEMPT, {"tenant": api.tenant, "id": message, "outcome": outcome})


async def second_account(api: Api) -> None:
    body = {
        "channel": "email",
        "provider": "sandbox",
        "credentials": {"api_key": "k"},
        "base_url": "http://127.0.0.1:9",
    }
    assert (await api.client.put("/v1/provider-accounts/second", json=body)).status_code == 201


def detail(response: httpx.Response) -> str:
    assert_problem(response, 409, "conflict")
    return str(response.json()["detail"])


async def test_account_without_anything_on_it_is_deleted_with_its_credentials(api: Api) -> None:
    assert (await delete(api)).status_code == 204
    assert_problem(await api.client.get("/v1/provider-accounts/main-email"), 404, "not-found")
    assert_problem(await delete(api), 404, "not-found")
    listed = (await api.client.get("/v1/provider-accounts")).json()["items"]
    assert "main-email" not in [one["name"] for one in listed]
    assert await api.hermod.core.storage.accounts.for_channel(api.tenant, Channel.EMAIL) == []
    rows = await api.rows("SELECT credentials FROM provider_accounts WHERE tenant_id = :tenant AND name = 'main-email'")
    assert [bytes(row.credentials) for row in rows] in ([], [b""])
    (audited,) = await api.rows("SELECT * FROM audit WHERE tenant_id = :tenant AND action = 'account.delete'")
    assert (audited.subject, audited.actor[:3]) == ("main-email", "hk_")
    await api.hermod.core.storage.accounts.reseal()


async def test_message_names_a_deleted_account_is_refused(api: Api) -> None:
    await second_account(api)
    assert (await delete(api)).status_code == 204
    assert_problem(await api.send(EMAIL | {"provider_account": "main-email"}), 422, "invalid-input", "provider_account")
    assert (await api.send(EMAIL)).status_code == 202


async def test_account_that_open_messages_name_is_kept_and_they_are_counted(api: Api) -> None:
    await second_account(api)
    first = await api.sent(provider_account="main-email")
    await api.sent(provider_account="main-email", send_at=(datetime.now(UTC) + timedelta(days=30)).isoformat())
    await api.sent()
    assert "2 messages name it" in detail(await delete(api))
    await api.put_into(first, Status.SENT)
    await api.hermod.core.storage.database.execute(
        text("UPDATE messages SET finished_at = now() WHERE id = :id"), {"id": first}
    )
    assert "1 message names it" in detail(await delete(api))
    assert (await api.client.get("/v1/provider-accounts/main-email")).status_code == 200


async def test_last_account_of_a_channel_with_open_messages_is_kept(api: Api) -> None:
    await api.sent()
    assert "1 message of channel email waits, and no other account is enabled for it" in detail(await delete(api))
    await second_account(api)
    assert (await delete(api)).status_code == 204


async def test_account_with_a_request_under_way_or_in_doubt_is_kept(api: Api) -> None:
    await second_account(api)
    sending, doubtful, unknown = await api.sent(), await api.sent(guarantee="at_most_once"), await api.sent()
    await asked_once(api, sending, None)
    await asked_once(api, doubtful, "unknown")
    await asked_once(api, unknown, "unknown")
    database = api.hermod.core.storage.database
    await database.execute(
        text("UPDATE messages SET status = 'unknown', dead_at = now(), finished_at = now() WHERE id = :id"),
        {"id": unknown},
    )
    said = detail(await delete(api))
    assert "1 request is under way" in said
    assert "2 messages may have arrived there" in said


async def test_account_put_again_under_a_deleted_name_counts_as_another_account(api: Api) -> None:
    accounts = api.hermod.core.storage.accounts
    before = await accounts.stored(api.tenant, "main-email")
    assert before is not None
    await delete(api)
    body = {
        "channel": "email",
        "provider": "sandbox",
        "credentials": {"api_key": "k"},
        "base_url": "http://127.0.0.1:9",
    }
    without = {name: value for name, value in body.items() if name != "credentials"}
    assert_problem(await api.client.put("/v1/provider-accounts/main-email", json=without), 422, "invalid-input",
                   "credentials.api_key")  # fmt: skip
    assert (await api.client.put("/v1/provider-accounts/main-email", json=body)).status_code == 201
    after = await accounts.stored(api.tenant, "main-email")
    assert after is not None
    assert after.identity_revision > before.revision


async def delete_tenant(api: Api, token: str | None = None, tenant: str | None = None) -> httpx.Response:
    secret = api.hermod.core.settings.jwt_secret.get_secret_value()
    token = token or issue(secret, subject="ops", valid_for=timedelta(minutes=1), now=datetime.now(UTC))
    path = f"/api/admin/tenants/{tenant or api.tenant}"
    return await api.client.delete(path, headers={"authorization": f"Bearer {token}"})


async def emptied(api: Api) -> None:
    for channel in Channel:
        assert (await delete(api, f"main-{channel.value}")).status_code == 204
    await api.hermod.core.storage.database.execute(
        text("UPDATE api_keys SET revoked_at = now() WHERE tenant_id = :tenant"), {"tenant": api.tenant}
    )


async def test_tenant_is_deleted_by_an_administrator_only(api: Api) -> None:
    key = api.client.headers["authorization"].removeprefix("Bearer ")
    assert_problem(await delete_tenant(api, key), 401, "unauthorized")
    assert_problem(await delete_tenant(api, "nothing"), 401, "unauthorized")
    assert_problem(await delete_tenant(api, tenant="nobody"), 404, "not-found")
    assert_problem(await delete_tenant(api, tenant="%00"), 404, "not-found")


async def test_tenant_with_accounts_keys_endpoints_or_open_records_is_kept_and_they_are_said(api: Api) -> None:
    await api.sent()
    rows = await WebhookRows.make(api.hermod.core.storage.database, api.tenant, datetime.now(UTC))
    await rows.add(DeliveryStatus.QUEUED)
    said = detail(await delete_tenant(api))
    for part in ("4 provider accounts", "1 API key", "1 webhook endpoint", "1 open message", "1 open webhook delivery"):
        assert part in said
    assert (await api.client.get("/v1/messages")).status_code == 200


async def test_deleted_tenant_is_gone_at_once_and_its_records_go_with_the_next_retention(
    api: Api, process: object
) -> None:
    message = await api.sent()
    await api.client.post(f"/v1/messages/{message}/cancel")
    rows = await WebhookRows.make(api.hermod.core.storage.database, api.tenant, datetime.now(UTC))
    await rows.add(DeliveryStatus.DELIVERED)
    await api.hermod.core.storage.database.execute(
        text("UPDATE webhook_endpoints SET deleted_at = now() WHERE tenant_id = :tenant"), {"tenant": api.tenant}
    )
    await emptied(api)
    storage, now = api.hermod.core.storage, datetime.now(UTC)
    assert (await delete_tenant(api)).status_code == 204
    assert_problem(await delete_tenant(api), 404, "not-found")
    assert api.tenant not in [one.id for one in await storage.tenants.all()]
    with pytest.raises(Exception, match="is being deleted"):
        await storage.tenants.create(api.tenant, "again", now)
    await storage.records.purge_expired(now)
    named = await api.rows("""
        SELECT table_name AS name FROM information_schema.columns
         WHERE column_name = 'tenant_id' AND table_name <> 'audit' AND CAST(:tenant AS text) IS NOT NULL
    """)
    assert {"messages", "webhook_deliveries", "webhook_events", "provider_accounts"} <= {one.name for one in named}
    for table in named:
        assert await api.rows(f"SELECT 1 FROM {table.name} WHERE tenant_id = :tenant") == []
    (audited,) = await api.rows("SELECT * FROM audit WHERE tenant_id = :tenant AND action = 'tenant.delete'")
    assert (audited.actor, audited.subject) == ("ops", api.tenant)
    await storage.tenants.create(api.tenant, "again", now)


async def test_records_of_other_tenants_stay_when_one_is_deleted(api: Api, process: object, app: object) -> None:
    await emptied(api)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://hermod.test") as client:
        other = await new_api(api.hermod, api.app, client)
        message = await other.sent()
        assert (await delete_tenant(api)).status_code == 204
        await api.hermod.core.storage.records.purge_expired(datetime.now(UTC))
        assert (await other.client.get(f"/v1/messages/{message}")).status_code == 200
