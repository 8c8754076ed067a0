"""Saving a provider account: its settings are checked against its provider before anything is stored."""

from __future__ import annotations

from typing import NamedTuple

from hermod.channels.registry import validate
from hermod.contracts.tenants.accounts import AccountInput, AccountView
from starter.client import Hermod


class SavedAccount(NamedTuple):
    view: AccountView
    created: bool


async def save_account(hermod: Hermod, name: str, account: AccountInput) -> SavedAccount:
    """Create or replace an account of the client's tenant. Raises InvalidInput, naming each wrong setting."""
    core, tenant = hermod.core, hermod.tenant
    accounts, now = core.storage.accounts, core.clock.now()
    stored = await accounts.stored(tenant, name)
    keeps = stored is not None and account.credentials is None and stored.provider == account.provider
    validate(
        account,
        stored=stored.credentials if stored is not None and keeps else None,
        allow_private=core.settings.allow_private_addresses,
        local_domains=core.settings.local_email_domains,
    )
    view = await accounts.put(tenant, name, account, actor=hermod.actor, now=now)
    return SavedAccount(view, created=stored is None)
