"""Builds what a process needs from its settings: the database with its repositories, and the provider adapters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from hermod.analytics.client import ClickHouse
from hermod.analytics.places import Folder, Nowhere, Server
from hermod.analytics.queries import AnalyticsQueries
from hermod.analytics.schema import Schema
from hermod.analytics.sink import ClickHouseSink
from hermod.channels.registry import CAPABILITIES, POLLED, Senders
from hermod.clock import SystemClock
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.backend import HttpBackend
from hermod.outbound.webhooks.poster import WebhookPoster
from hermod.ports.forms.submissions import Backend, NoBackend
from hermod.ports.notifications.hygiene import AddressFeedback
from hermod.settings import Settings
from hermod.storage.analytics.event_claims import SqlEventOutbox
from hermod.storage.analytics.event_outbox import EventAcceptance
from hermod.storage.database.advisory_locks import alone
from hermod.storage.database.engine import Database
from hermod.storage.forms.forms import Forms
from hermod.storage.forms.orphans import OrphanedSubmissions
from hermod.storage.forms.partials import SqlPartials
from hermod.storage.forms.payments import Payments
from hermod.storage.forms.resume_tokens import ResumeTokens
from hermod.storage.forms.stripe_accounts import StripeAccounts
from hermod.storage.forms.submission_acceptance import SubmissionAcceptance
from hermod.storage.forms.submission_steps import SqlSubmissionLedger
from hermod.storage.forms.submissions import Submissions
from hermod.storage.forms.visitor_rates import VisitorRates
from hermod.storage.notifications.acceptance import Acceptance
from hermod.storage.notifications.ledger import SqlLedger
from hermod.storage.notifications.messages import Messages
from hermod.storage.notifications.orphans import OrphanedMessages
from hermod.storage.notifications.receipts import Receipts
from hermod.storage.notifications.templates import Templates
from hermod.storage.notifications.unanswered import SentMessages
from hermod.storage.operations.backlog import Backlog
from hermod.storage.operations.failing_activities import SqlFailingActivities
from hermod.storage.operations.journeys import Journeys
from hermod.storage.operations.promises import Promises
from hermod.storage.operations.records import Records
from hermod.storage.operations.workers import Workers
from hermod.storage.recipients.dead_tokens import DeadTokens
from hermod.storage.recipients.devices import Devices
from hermod.storage.recipients.hygiene import Learning
from hermod.storage.recipients.suppressions import Suppressions
from hermod.storage.recipients.unsubscribe_links import SealedLinks
from hermod.storage.secrets.contents import Contents
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.accounts import ProviderAccounts
from hermod.storage.tenants.limits import TenantLimits
from hermod.storage.tenants.rates import Rates
from hermod.storage.tenants.retry_defaults import RetryDefaultsOfTenants
from hermod.storage.tenants.tenants import Tenants
from hermod.storage.webhook_endpoints.endpoints import WebhookEndpoints
from hermod.storage.webhook_endpoints.health import SqlEndpointHealth
from hermod.storage.webhook_endpoints.notices import WebhookNotices
from hermod.storage.webhooks.acceptance import WebhookAcceptance
from hermod.storage.webhooks.deliveries import WebhookDeliveries
from hermod.storage.webhooks.ledger import SqlWebhookLedger
from hermod.storage.webhooks.order import WebhookOrder
from hermod.storage.webhooks.orphans import OrphanedDeliveries
from hermod.storage.webhooks.replays import WebhookReplays
from hermod.storage.webhooks.requests import WebhookRequests
from hermod.storage.webhooks.waiting import WebhookWaiting

AUDIT_SECONDS: Final = 300.0
"""That a statement of the audit may take, which reads all that was accepted lately."""

_DEFAULT_RATES: Final = {name: capability.default_rate for name, capability in CAPABILITIES.items()}


@dataclass(frozen=True, slots=True)
class Storage:
    """The repositories, on one pool of connections, and what else is made of the secret key.

    The audit and the worker's session have connections of their own.
    """

    database: Database
    acceptance: Acceptance
    accounts: ProviderAccounts
    backlog: Backlog
    contents: Contents
    dead_tokens: DeadTokens
    devices: Devices
    endpoint_health: SqlEndpointHealth
    event_acceptance: EventAcceptance
    event_outbox: SqlEventOutbox
    forms: Forms
    journeys: Journeys
    ledger: SqlLedger
    limits: TenantLimits
    retry_defaults: RetryDefaultsOfTenants
    messages: Messages
    partials: SqlPartials
    orphaned_deliveries: OrphanedDeliveries
    orphaned_messages: OrphanedMessages
    orphaned_submissions: OrphanedSubmissions
    payments: Payments
    promises: Promises
    failing: SqlFailingActivities
    rates: Rates
    receipts: Receipts
    records: Records
    resume_tokens: ResumeTokens
    stripe_accounts: StripeAccounts
    hygiene: AddressFeedback
    submission_acceptance: SubmissionAcceptance
    submission_ledger: SqlSubmissionLedger
    submissions: Submissions
    suppressions: Suppressions
    templates: Templates
    tenants: Tenants
    unanswered: SentMessages
    unsubscribe_links: SealedLinks
    visitor_rates: VisitorRates
    webhook_acceptance: WebhookAcceptance
    webhook_deliveries: WebhookDeliveries
    webhook_endpoints: WebhookEndpoints
    webhook_ledger: SqlWebhookLedger
    webhook_notices: WebhookNotices
    webhook_order: WebhookOrder
    webhook_replays: WebhookReplays
    webhook_requests: WebhookRequests
    webhook_waiting: WebhookWaiting
    workers: Workers


def _database(settings: Settings) -> Database:
    url = settings.database_url.get_secret_value()
    return Database(url, pool_size=settings.database_pool, timeout=settings.database_timeout)


def build_storage(settings: Settings) -> Storage:
    database, vault = _database(settings), Vault(settings.secret_key.get_secret_value())
    contents = Contents(database, vault, settings.content_days)
    accounts = ProviderAccounts(database, vault, _DEFAULT_RATES)
    suppressions = Suppressions(database)
    dead_tokens = DeadTokens(database, accounts)
    limits = TenantLimits(database)
    rates = Rates(database, limits)
    resume_tokens = ResumeTokens(settings.secret_key.get_secret_value())
    webhook_endpoints = WebhookEndpoints(database, vault, SystemClock())
    workers = _workers(settings, database)
    return Storage(
        database=database,
        acceptance=Acceptance(database, contents),
        accounts=accounts,
        backlog=Backlog(database),
        contents=contents,
        dead_tokens=dead_tokens,
        devices=Devices(database),
        endpoint_health=_endpoint_health(settings, database, webhook_endpoints),
        event_acceptance=EventAcceptance(database, contents),
        event_outbox=SqlEventOutbox(database, contents),
        forms=Forms(database),
        journeys=Journeys(database),
        ledger=SqlLedger(database, contents, workers),
        limits=limits,
        retry_defaults=RetryDefaultsOfTenants(database),
        messages=Messages(database),
        orphaned_deliveries=OrphanedDeliveries(database, workers),
        orphaned_messages=OrphanedMessages(database, workers),
        orphaned_submissions=OrphanedSubmissions(database),
        payments=Payments(database),
        promises=_promises(settings),
        failing=SqlFailingActivities(database),
        partials=SqlPartials(database, contents, resume_tokens),
        rates=rates,
        receipts=Receipts(database),
        records=Records(database, days=settings.record_days, content_days=settings.content_days),
        resume_tokens=resume_tokens,
        stripe_accounts=StripeAccounts(database, vault),
        hygiene=Learning(suppressions, dead_tokens),
        submission_acceptance=SubmissionAcceptance(database, contents),
        submission_ledger=SqlSubmissionLedger(database, contents),
        submissions=Submissions(database, contents),
        suppressions=suppressions,
        templates=Templates(database),
        tenants=Tenants(database),
        unanswered=SentMessages(database, POLLED),
        unsubscribe_links=SealedLinks(settings.secret_key.get_secret_value(), settings.public_url),
        visitor_rates=VisitorRates(settings.secret_key.get_secret_value(), rates),
        webhook_acceptance=WebhookAcceptance(database, contents),
        webhook_deliveries=WebhookDeliveries(database, contents),
        webhook_endpoints=webhook_endpoints,
        webhook_ledger=SqlWebhookLedger(database, contents, workers),
        webhook_notices=WebhookNotices(database),
        webhook_order=WebhookOrder(database),
        webhook_replays=WebhookReplays(database, contents),
        webhook_requests=WebhookRequests(database, contents),
        webhook_waiting=WebhookWaiting(database),
        workers=workers,
    )


def _endpoint_health(settings: Settings, database: Database, endpoints: WebhookEndpoints) -> SqlEndpointHealth:
    disable_after = timedelta(hours=settings.webhook_disable_after_hours)
    return SqlEndpointHealth(database, disable_after, changed=endpoints.forget)


def _promises(settings: Settings) -> Promises:
    """On a connection of its own, where a statement may take longer."""
    database = Database(settings.database_url.get_secret_value(), pool_size=2, timeout=AUDIT_SECONDS)
    return Promises(database, {name for name, capability in CAPABILITIES.items() if capability.idempotency_key})


def _workers(settings: Settings, database: Database) -> Workers:
    """With a connection of the session's own, which nobody who is busy keeps it waiting for."""
    url = settings.database_url.get_secret_value()
    return Workers(database, Database(url, pool_size=2, timeout=settings.database_timeout))


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Storage]:
    storage = build_storage(settings)
    try:
        yield storage
    finally:
        await storage.endpoint_health.aclose()
        await storage.promises.aclose()
        await storage.workers.aclose()
        await storage.database.close()


@dataclass(frozen=True, slots=True)
class Analytics:
    """ClickHouse: where events go, and what is asked of them. Nothing is opened before something is asked."""

    clickhouse: ClickHouse
    schema: Schema
    sink: ClickHouseSink
    queries: AnalyticsQueries

    async def prepare(self) -> None:
        """Bring the tables up to date; every insert does that too. Raises Unavailable."""
        await self.schema.prepare()

    @asynccontextmanager
    async def preparing(self) -> AsyncIterator[None]:
        """Bring the tables up beside other work, which does not wait for them, until that ends.

        An engine inside this process is opened by its first insert, and only then.
        """
        if not isinstance(self.clickhouse.place, Server):
            yield
            return
        task = asyncio.create_task(self.schema.prepare_in_the_end())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def ping(self) -> str:
        """Which ClickHouse answers. Raises Unavailable."""
        return await self.clickhouse.ping()


def _clickhouse(settings: Settings, *, embedded: bool) -> ClickHouse:
    if settings.clickhouse_url is None:
        place = Folder(settings.data_dir / "clickhouse") if embedded else Nowhere()
        return ClickHouse(place, settings.clickhouse_database)
    password = settings.clickhouse_password
    server = Server(
        settings.clickhouse_url.get_secret_value(),
        settings.clickhouse_user,
        password.get_secret_value() if password is not None else None,
    )
    return ClickHouse(server, settings.clickhouse_database)


@asynccontextmanager
async def open_analytics(settings: Settings, database: Database, *, embedded: bool = False) -> AsyncIterator[Analytics]:
    """`database` is Hermod's own, which keeps several processes from changing the tables at once.

    `embedded`: where no server is set, this process may keep events by itself. That is for the worker, and for
    who only pings (`hermod doctor`): whoever opened the folder to ask something would keep the
    worker from storing them.
    """
    clickhouse = _clickhouse(settings, embedded=embedded)
    schema = Schema(clickhouse, settings.event_days, lambda: alone(database, "clickhouse/schema"))
    try:
        yield Analytics(clickhouse, schema, ClickHouseSink(clickhouse, schema), AnalyticsQueries(clickhouse, schema))
    finally:
        await clickhouse.aclose()


@asynccontextmanager
async def open_senders(settings: Settings) -> AsyncIterator[Senders]:
    senders = Senders(allow_private=settings.allow_private_addresses, public_url=settings.public_url)
    try:
        yield senders
    finally:
        await senders.aclose()


@asynccontextmanager
async def open_backend(settings: Settings) -> AsyncIterator[Backend]:
    """The user's own place for submissions; where there is none, PostgreSQL alone has them."""
    if settings.api_url is None:
        yield NoBackend()
        return
    token = settings.api_token
    backend = HttpBackend(settings.api_url, token.get_secret_value() if token is not None else None)
    try:
        yield backend
    finally:
        await backend.aclose()


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
