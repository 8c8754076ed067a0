"""Builds what a process needs from its settings: the database with its repositories, and the provider adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from hermod.channels.registry import Senders
from hermod.ports.hygiene import Hygiene
from hermod.settings import Settings
from hermod.storage.acceptance import Acceptance
from hermod.storage.accounts import ProviderAccounts
from hermod.storage.contents import Contents
from hermod.storage.engine import Database
from hermod.storage.ledger import SqlLedger
from hermod.storage.messages import Messages
from hermod.storage.stranded import Stranded
from hermod.storage.suppressions import Suppressions
from hermod.storage.tenants import Tenants
from hermod.storage.vault import Vault


class SystemClock:
    """This machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Storage:
    """The repositories, on one pool of connections."""

    database: Database
    acceptance: Acceptance
    accounts: ProviderAccounts
    contents: Contents
    ledger: SqlLedger
    messages: Messages
    stranded: Stranded
    hygiene: Hygiene
    suppressions: Suppressions
    tenants: Tenants


def build_storage(settings: Settings) -> Storage:
    database = Database(settings.database_url.get_secret_value(), pool_size=settings.database_pool)
    vault = Vault(settings.secret_key.get_secret_value())
    contents = Contents(database, vault, settings.content_days)
    suppressions = Suppressions(database)
    return Storage(
        database=database,
        acceptance=Acceptance(database, contents),
        accounts=ProviderAccounts(database, vault),
        contents=contents,
        ledger=SqlLedger(database, contents),
        messages=Messages(database),
        stranded=Stranded(database),
        hygiene=suppressions,
        suppressions=suppressions,
        tenants=Tenants(database),
    )


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Storage]:
    storage = build_storage(settings)
    try:
        yield storage
    finally:
        await storage.database.close()


@asynccontextmanager
async def open_senders(settings: Settings) -> AsyncIterator[Senders]:
    senders = Senders(allow_private=settings.allow_private_addresses, public_url=settings.public_url)
    try:
        yield senders
    finally:
        await senders.aclose()
