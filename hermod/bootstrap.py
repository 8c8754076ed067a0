"""Builds what a process needs from its settings: the database with its repositories, and the provider adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hermod.channels.registry import CAPABILITIES, POLLED, Senders
from hermod.outbound.guard import AddressGuard
from hermod.outbound.webhook_poster import WebhookPoster
from hermod.ports.hygiene import Hygiene
from hermod.settings import Settings
from hermod.storage.acceptance import Acceptance
from hermod.storage.accounts import ProviderAccounts
from hermod.storage.contents import Contents
from hermod.storage.dead_tokens import DeadTokens
from hermod.storage.devices import Devices
from hermod.storage.endpoint_health import SqlEndpointHealth
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
from hermod.storage.webhook_acceptance import WebhookAcceptance
from hermod.storage.webhook_deliveries import WebhookDeliveries
from hermod.storage.webhook_endpoints import WebhookEndpoints
from hermod.storage.webhook_ledger import SqlWebhookLedger
from hermod.storage.webhook_notices import WebhookNotices
from hermod.storage.webhook_order import WebhookOrder
from hermod.storage.webhook_replays import WebhookReplays
from hermod.storage.webhook_requests import WebhookRequests
from hermod.storage.webhook_stranded import StrandedDeliveries


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
    endpoint_health: SqlEndpointHealth
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
    webhook_acceptance: WebhookAcceptance
    webhook_deliveries: WebhookDeliveries
    webhook_endpoints: WebhookEndpoints
    webhook_ledger: SqlWebhookLedger
    webhook_notices: WebhookNotices
    webhook_order: WebhookOrder
    webhook_replays: WebhookReplays
    webhook_requests: WebhookRequests
    webhook_stranded: StrandedDeliveries


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
    webhook_endpoints = WebhookEndpoints(database, vault, SystemClock())
    return Storage(
        database=database,
        acceptance=Acceptance(database, contents),
        accounts=accounts,
        contents=contents,
        dead_tokens=dead_tokens,
        devices=Devices(database),
        endpoint_health=SqlEndpointHealth(
            database,
            timedelta(hours=settings.webhook_disable_after_hours),
            changed=webhook_endpoints.forget,
        ),
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
        webhook_acceptance=WebhookAcceptance(database, contents),
        webhook_deliveries=WebhookDeliveries(database, contents),
        webhook_endpoints=webhook_endpoints,
        webhook_ledger=SqlWebhookLedger(database, contents),
        webhook_notices=WebhookNotices(database),
        webhook_order=WebhookOrder(database),
        webhook_replays=WebhookReplays(database),
        webhook_requests=WebhookRequests(database, contents),
        webhook_stranded=StrandedDeliveries(database),
    )


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Storage]:
    storage = build_storage(settings)
    try:
        yield storage
    finally:
        await storage.endpoint_health.aclose()
        await storage.database.close()


@asynccontextmanager
async def open_senders(settings: Settings) -> AsyncIterator[Senders]:
    senders = Senders(allow_private=settings.allow_private_addresses, public_url=settings.public_url)
    try:
        yield senders
    finally:
        await senders.aclose()


def webhook_guard(settings: Settings) -> AddressGuard:
    """Which addresses webhooks may be sent to."""
    return AddressGuard(allow_private=settings.allow_private_addresses, allowed=settings.webhook_allowed_hosts)


@asynccontextmanager
async def open_poster(settings: Settings) -> AsyncIterator[WebhookPoster]:
    poster = WebhookPoster(webhook_guard(settings), clock=SystemClock())
    try:
        yield poster
    finally:
        await poster.aclose()
