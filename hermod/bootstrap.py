"""Builds what a process needs from its settings: the database with its repositories, and the provider adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from hermod.channels.registry import CAPABILITIES, POLLED, Senders
from hermod.ports.hygiene import Hygiene
from hermod.settings import Settings
from hermod.storage.acceptance import Acceptance
from hermod.storage.accounts import ProviderAccounts
from hermod.storage.contents import Contents
from hermod.storage.dead_tokens import DeadTokens
from hermod.storage.devices import Devices
from hermod.storage.engine import Database
from hermod.storage.hygiene import Learning
from hermod.storage.ledger import SqlLedger
from hermod.storage.limits import TenantLimits
from hermod.storage.messages import Messages
from hermod.storage.rates import Rates
from hermod.storage.receipts import Receipts
from hermod.storage.stranded import Stranded
from hermod.storage.suppressions import Suppressions
from hermod.storage.templates import Templates
from hermod.storage.tenants import Tenants
from hermod.storage.unanswered import SentMessages
from hermod.storage.unsubscribe_links import SealedLinks
from hermod.storage.vault import Vault


class SystemClock:
    """This machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Storage:
    """The repositories, on one pool of connections, and what else is made of the secret key."""

    database: Database
    acceptance: Acceptance
    accounts: ProviderAccounts
    contents: Contents
    dead_tokens: DeadTokens
    devices: Devices
    ledger: SqlLedger
    limits: TenantLimits
    messages: Messages
    rates: Rates
    receipts: Receipts
    stranded: Stranded
    hygiene: Hygiene
    suppressions: Suppressions
    templates: Templates
    tenants: Tenants
    unanswered: SentMessages
    unsubscribe_links: SealedLinks


def build_storage(settings: Settings) -> Storage:
    database = Database(settings.database_url.get_secret_value(), pool_size=settings.database_pool)
    vault = Vault(settings.secret_key.get_secret_value())
    contents = Contents(database, vault, settings.content_days)
    accounts = ProviderAccounts(
        database, vault, {name: capability.default_rate for name, capability in CAPABILITIES.items()}
    )
    suppressions = Suppressions(database)
    dead_tokens = DeadTokens(database, accounts)
    limits = TenantLimits(database)
    return Storage(
        database=database,
        acceptance=Acceptance(database, contents),
        accounts=accounts,
        contents=contents,
        dead_tokens=dead_tokens,
        devices=Devices(database),
        ledger=SqlLedger(database, contents),
        limits=limits,
        messages=Messages(database),
        rates=Rates(database, limits),
        receipts=Receipts(database),
        stranded=Stranded(database),
        hygiene=Learning(suppressions, dead_tokens),
        suppressions=suppressions,
        templates=Templates(database),
        tenants=Tenants(database),
        unanswered=SentMessages(database, POLLED),
        unsubscribe_links=SealedLinks(settings.secret_key.get_secret_value(), settings.public_url),
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
