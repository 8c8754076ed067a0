"""The demo tenant over many starts: the same key, and nothing that a user changed is undone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devstack.demo.seed import EMAIL_ACCOUNT, SMS_ACCOUNT, TENANT, admin_token, seed
from devstack.servers.sandbox import SandboxServer
from hermod.contracts.notifications.content import Channel
from hermod.contracts.tenants.accounts import DEMO_ORDER, Account, AccountInput
from hermod.settings import load_settings
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.tenants import key_id, new_key
from starter import Hermod
from starter.tenants.accounts import save_account
from starter.tenants.tokens import verify


@pytest.fixture
async def hermod(database_url: str) -> AsyncIterator[Hermod]:
    settings = load_settings(
        DATABASE_URL=database_url, HERMOD_SECRET_KEY=Vault.new_key(), HERMOD_ALLOW_PRIVATE_ADDRESSES=True
    )
    async with await Hermod.connect(settings=settings) as client:
        yield client


def sandbox(port: int = 18090) -> SandboxServer:
    """One that is only asked for its addresses."""
    return SandboxServer(log=Path("unused"), port=port, smtp_port=port + 1, apns_port=port + 2)


async def account(hermod: Hermod, channel: Channel) -> Account:
    name = {Channel.EMAIL: EMAIL_ACCOUNT, Channel.SMS: SMS_ACCOUNT}[channel]
    found = await hermod.core.storage.accounts.for_channel(TENANT, channel)
    return next(one for one in found if one.name == name)


async def test_seed_when_repeated_changes_nothing(hermod: Hermod) -> None:
    key = new_key()
    assert await seed(hermod, sandbox(), key) == key
    first = await account(hermod, Channel.EMAIL), await account(hermod, Channel.SMS)
    assert await seed(hermod, sandbox(), key) == key
    assert (await account(hermod, Channel.EMAIL), await account(hermod, Channel.SMS)) == first
    for one in await hermod.core.storage.accounts.all(TENANT, hermod.core.clock.now()):
        assert one.order >= DEMO_ORDER
        assert one.enabled
    assert (await hermod.core.storage.tenants.authenticate(key))[0] == TENANT


async def test_seed_email_goes_first_by_sendgrid_and_then_by_smtp(hermod: Hermod) -> None:
    await seed(hermod, sandbox(), new_key())
    found = await hermod.core.storage.accounts.for_channel(TENANT, Channel.EMAIL)
    assert [one.provider for one in sorted(found, key=lambda one: one.order)] == ["sendgrid", "smtp"]


async def test_seed_when_the_sandbox_moved_follows_it_and_keeps_what_a_user_changed(hermod: Hermod) -> None:
    key = new_key()
    await seed(hermod, sandbox(18090), key)
    changed = AccountInput(
        channel=Channel.SMS,
        provider="twilio",
        base_url=(await account(hermod, Channel.SMS)).base_url,
        order=7,
        enabled=False,
        from_="+14155550177",
    )
    await save_account(hermod.as_tenant(TENANT, "user"), SMS_ACCOUNT, changed)
    await seed(hermod, sandbox(19090), key)
    moved = await account(hermod, Channel.SMS)
    assert moved.base_url == "http://127.0.0.1:19090/twilio"
    assert (moved.order, moved.enabled, moved.from_) == (7, False, "+14155550177")
    assert (await account(hermod, Channel.EMAIL)).credentials["port"] == "19091"


async def test_seed_when_the_key_was_revoked_gives_another(hermod: Hermod) -> None:
    revoked = new_key()
    await seed(hermod, sandbox(), revoked)
    await hermod.core.storage.tenants.revoke_key(TENANT, key_id(revoked), hermod.core.clock.now())
    fresh = await seed(hermod, sandbox(), revoked)
    assert fresh != revoked
    assert (await hermod.core.storage.tenants.authenticate(fresh))[0] == TENANT


def test_admin_token_is_one_that_the_api_accepts() -> None:
    secret = new_key()
    assert verify(secret, admin_token(secret)).subject == "devstack"
