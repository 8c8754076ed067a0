"""Accounts with sealed credentials and a shared breaker; tenants with keys that are kept as hashes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from hermod.contracts.errors import Conflict, InvalidInput, NotFound, Unauthorized
from hermod.contracts.notifications.content import Channel
from hermod.contracts.tenants.accounts import AccountInput
from hermod.storage.database.engine import Database
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.accounts import ProviderAccounts
from hermod.storage.tenants.tenants import Tenants, new_key
from tests.support.polling import eventually

OLD, NEW = Vault.new_key(), Vault.new_key()


def now() -> datetime:
    return datetime.now(UTC)


def account(**changes: object) -> AccountInput:
    given: dict[str, object] = {
        "channel": Channel.EMAIL,
        "provider": "sendgrid",
        "credentials": {"api_key": SecretStr("SG.very.secret")},
    }
    return AccountInput.model_validate(given | changes)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await Tenants(opened).create("demo", "Demo", now())
    yield opened
    await opened.close()


async def put(accounts: ProviderAccounts, given: AccountInput) -> None:
    await accounts.put("demo", "main", given, actor="test", now=now())


async def test_credentials_are_not_readable_in_the_database(database: Database) -> None:
    await put(ProviderAccounts(database, Vault(OLD)), account())
    rows = await database.rows(text("SELECT credentials FROM provider_accounts"), {})
    assert b"secret" not in bytes(rows[0].credentials)


async def test_credentials_survive_a_rotation_of_the_key(database: Database) -> None:
    await put(ProviderAccounts(database, Vault(OLD)), account())
    assert await ProviderAccounts(database, Vault(f"{NEW},{OLD}")).reseal() == (1, ())
    (found,) = await ProviderAccounts(database, Vault(NEW)).for_channel("demo", Channel.EMAIL)
    assert found.credentials == {"api_key": "SG.very.secret"}


async def test_account_whose_key_is_gone_counts_as_blocked_until_it_is_back(database: Database) -> None:
    await put(ProviderAccounts(database, Vault(OLD)), account())
    strange = ProviderAccounts(database, Vault(NEW))
    assert await strange.names("demo") == {"main": Channel.EMAIL}
    (found,) = await strange.for_channel("demo", Channel.EMAIL)
    assert (found.credentials, found.blocked_reason) == ({}, "undecryptable")


async def test_one_account_whose_key_is_gone_does_not_keep_the_others_from_the_newest_key(database: Database) -> None:
    await put(ProviderAccounts(database, Vault(OLD)), account())
    elsewhere = ProviderAccounts(database, Vault(Vault.new_key()))
    await elsewhere.put("demo", "lost", account(), actor="test", now=now())
    assert await ProviderAccounts(database, Vault(f"{NEW},{OLD}")).reseal() == (1, ("demo/lost",))
    found = await ProviderAccounts(database, Vault(NEW)).for_channel("demo", Channel.EMAIL)
    assert {one.name: one.blocked_reason for one in found} == {"main": None, "lost": "undecryptable"}


async def test_put_without_credentials_keeps_the_stored_ones(database: Database) -> None:
    accounts = ProviderAccounts(database, Vault(OLD))
    await put(accounts, account())
    await put(accounts, account(credentials=None, order=3))
    (found,) = await accounts.for_channel("demo", Channel.EMAIL)
    assert (found.credentials, found.order, found.revision) == ({"api_key": "SG.very.secret"}, 3, 2)


async def revisions(accounts: ProviderAccounts) -> tuple[int, int]:
    (found,) = await accounts.for_channel("demo", Channel.EMAIL)
    return found.revision, found.identity_revision


async def test_put_of_the_same_credentials_leaves_the_account_the_same_one(database: Database) -> None:
    """What was asked of it and may have been done is still safe to repeat there."""
    accounts = ProviderAccounts(database, Vault(OLD))
    await put(accounts, account())
    await put(accounts, account(rate_per_second=5))
    assert await revisions(accounts) == (2, 1)
    newer = ProviderAccounts(database, Vault(f"{NEW},{OLD}"))
    await put(newer, account(rate_per_second=6))
    assert await revisions(newer) == (3, 1)
    await newer.reseal()
    await put(newer, account(credentials=None))
    await put(newer, account())
    assert await revisions(newer) == (5, 1)


async def test_put_of_other_credentials_makes_it_another_account(database: Database) -> None:
    accounts = ProviderAccounts(database, Vault(OLD))
    await put(accounts, account())
    await put(accounts, account(credentials={"api_key": SecretStr("SG.another")}))
    assert await revisions(accounts) == (2, 2)
    await put(accounts, account(credentials={"api_key": SecretStr("SG.another")}, base_url="https://eu.example.com"))
    assert await revisions(accounts) == (3, 3)


async def test_put_of_credentials_over_ones_that_cannot_be_read_makes_it_another_account(database: Database) -> None:
    await put(ProviderAccounts(database, Vault(OLD)), account())
    strange = ProviderAccounts(database, Vault(NEW))
    await put(strange, account())
    assert await revisions(strange) == (2, 2)
    (found,) = await strange.for_channel("demo", Channel.EMAIL)
    assert found.credentials == {"api_key": "SG.very.secret"}


async def test_put_while_the_key_is_rotated_keeps_what_the_newest_key_opens(database: Database) -> None:
    accounts = ProviderAccounts(database, Vault(f"{NEW},{OLD}"))
    await put(ProviderAccounts(database, Vault(OLD)), account())
    async with database.begin() as connection:
        (row,) = await connection.execute(text("SELECT credentials FROM provider_accounts FOR UPDATE"))
        putting = asyncio.create_task(put(accounts, account(credentials=None)))
        await eventually(lambda: is_waiting(database))
        sealed = Vault(f"{NEW},{OLD}").reseal(row.credentials)
        await connection.execute(text("UPDATE provider_accounts SET credentials = :sealed"), {"sealed": sealed})
    await putting
    (found,) = await ProviderAccounts(database, Vault(NEW)).for_channel("demo", Channel.EMAIL)
    assert found.credentials == {"api_key": "SG.very.secret"}


async def is_waiting(database: Database) -> bool:
    waiting = text("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    return bool(await database.rows(waiting, {}))


async def test_put_of_a_new_account_without_credentials_is_refused(database: Database) -> None:
    with pytest.raises(InvalidInput, match="credentials"):
        await put(ProviderAccounts(database, Vault(OLD)), account(credentials=None))


async def test_probe_of_a_halted_account_is_won_by_one_of_many(database: Database) -> None:
    accounts = ProviderAccounts(database, Vault(OLD))
    await put(accounts, account())
    await accounts.block("demo", "main", 1, now() - timedelta(seconds=1), "halted", now())
    lease = now() + timedelta(seconds=15)
    won = await asyncio.gather(*(accounts.claim_probe("demo", "main", now(), lease) for _ in range(8)))
    assert sum(won) == 1


async def test_block_of_an_older_revision_does_not_touch_new_settings(database: Database) -> None:
    accounts = ProviderAccounts(database, Vault(OLD))
    await put(accounts, account())
    await put(accounts, account())
    await accounts.block("demo", "main", 1, now() + timedelta(hours=1), "halted", now())
    assert (await accounts.get("demo", "main", now())).available


async def test_key_opens_its_tenant_until_it_is_revoked(database: Database) -> None:
    tenants = Tenants(database)
    made = await tenants.create_key("demo", "ci", now())
    assert await tenants.authenticate(made.key) == ("demo", made.id)
    await tenants.revoke_key("demo", made.id, now())
    with pytest.raises(Unauthorized):
        await tenants.authenticate(made.key)


@pytest.mark.parametrize("key", ["", "hk_", "nonsense", pytest.param(new_key(), id="a key of nobody")])
async def test_unknown_key_is_refused(database: Database, key: str) -> None:
    with pytest.raises(Unauthorized):
        await Tenants(database).authenticate(key)


async def test_key_with_a_right_beginning_and_a_wrong_secret_is_refused(database: Database) -> None:
    made = await Tenants(database).create_key("demo", "ci", now())
    with pytest.raises(Unauthorized):
        await Tenants(database).authenticate(made.key[:-1] + ("a" if made.key[-1] != "a" else "b"))


async def test_no_key_is_readable_in_the_database(database: Database) -> None:
    made = await Tenants(database).create_key("demo", "ci", now())
    rows = await database.rows(text("SELECT row_to_json(api_keys)::text AS row FROM api_keys"), {})
    assert made.key.split("_", 2)[2] not in "".join(row.row for row in rows)


async def test_tenant_that_exists_is_a_conflict_and_a_bad_id_is_invalid(database: Database) -> None:
    with pytest.raises(Conflict):
        await Tenants(database).create("demo", "Demo", now())
    with pytest.raises(InvalidInput):
        await Tenants(database).create("Not/An Id", "x", now())
    with pytest.raises(NotFound):
        await Tenants(database).get("nobody")
