"""Saving a provider account: its settings are checked against its provider before anything is stored."""

from __future__ import annotations

from typing import NamedTuple

from hermod.channels.registry import validate
from hermod.contracts.accounts import Account, AccountInput, AccountView
from hermod.contracts.content import Channel
from hermod.contracts.errors import NotFound
from starter.client import Hermod


class SavedAccount(NamedTuple):
    view: AccountView
    created: bool


async def save_account(hermod: Hermod, name: str, account: AccountInput) -> SavedAccount:
    """Create or replace an account of the client's tenant. Raises InvalidInput, naming each wrong setting."""
    core, tenant = hermod.core, hermod.tenant
    now = core.clock.now()
    kept = await _stored(hermod, name) if account.credentials is None else None
    same_provider = kept is not None and kept.provider == account.provider
    validate(
        account,
        stored=kept.credentials if kept is not None and same_provider else None,
        allow_private=core.settings.allow_private_addresses,
        local_domains=core.settings.local_email_domains,
    )
    try:
        await core.storage.accounts.get(tenant, name, now)
        created = False
    except NotFound:
        created = True
    view = await core.storage.accounts.put(tenant, name, account, actor=hermod.actor, now=now)
    return SavedAccount(view, created)


async def _stored(hermod: Hermod, name: str) -> Account | None:
    for channel in Channel:
        for account in await hermod.core.storage.accounts.for_channel(hermod.tenant, channel):
            if account.name == name:
                return account
    return None
