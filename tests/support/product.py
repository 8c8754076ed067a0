"""The product as tests run it: client, worker, database, Temporal; one for the whole run, and a tenant for each test.

`house` sends to the provider sandbox. `skipping` runs where time is skipped, with scripted senders instead of
providers, so that a day of retries takes milliseconds and its delays can be read from the ledger.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from devstack.sandbox import Sandbox
from devstack.servers.clickhouse import ClickHouseServer
from devstack.servers.postgres import Postgres
from hermod.bootstrap import open_senders
from hermod.contracts.notifications.content import AnyContent, Channel, Email
from hermod.contracts.notifications.messages import MessageView, Status
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome
from hermod.contracts.notifications.retries import Preset
from hermod.contracts.queues import Lane
from hermod.contracts.tenants.accounts import Account, AccountInput
from hermod.domain.states import OPEN
from hermod.ports.notifications.sender import Capability, Outgoing, Sender, SenderFactory
from hermod.settings import Settings, load_settings
from hermod.storage.secrets.vault import Vault
from starter import Hermod
from starter.temporal import schedules
from starter.temporal.connection import DATA_CONVERTER
from tests.support.forms.backends import BACKENDS
from tests.support.polling import eventually
from worker import build_workers, running

NOWHERE = "http://127.0.0.1:1"
"""The address of a server that is away."""

_tenants = itertools.count(1)


@dataclass
class Script:
    """What an account's requests come to, one after another; the last one goes on for ever."""

    outcomes: list[AnyOutcome] = field(default_factory=lambda: [Accepted(provider_id="p")])
    idempotent: bool = False
    refuses: str | None = None
    max_batch: int = 1
    rate_counts_requests: bool = False
    sent: list[Outgoing] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    """Messages in each request, one after another."""


class ScriptedSender:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.capability = Capability(
            provider="sandbox",
            title="Scripted",
            channels=frozenset(Channel),
            idempotency_key=script.idempotent,
            max_batch=script.max_batch,
            rate_counts_requests=script.rate_counts_requests,
        )

    async def send(self, message: Outgoing) -> AnyOutcome:
        self.script.sent.append(message)
        self.script.requests.append(1)
        return self._next()

    async def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[AnyOutcome]:
        """One outcome for all of them."""
        self.script.sent += messages
        self.script.requests.append(len(messages))
        return [self._next()] * len(messages)

    def batchable(self, content: AnyContent) -> bool:
        return not (isinstance(content, Email) and content.attachments)

    def _next(self) -> AnyOutcome:
        return self.script.outcomes.pop(0) if len(self.script.outcomes) > 1 else self.script.outcomes[0]

    def cannot_express(self, content: AnyContent) -> str | None:
        return self.script.refuses

    async def aclose(self) -> None:
        return None


class ScriptedSenders:
    """A SenderFactory that plays scripts, by tenant and account."""

    def __init__(self) -> None:
        self.scripts: dict[tuple[str, str], Script] = {}

    def sender(self, account: Account) -> Sender:
        return ScriptedSender(self.scripts.setdefault((account.tenant, account.name), Script()))


@dataclass(frozen=True)
class ProductFixture:
    """One tenant in a running product."""

    hermod: Hermod
    client: Client
    senders: SenderFactory | None = None
    sandbox: Sandbox | None = None

    async def add_account(
        self,
        name: str,
        *,
        channel: Channel = Channel.EMAIL,
        provider: str = "sandbox",
        credentials: Mapping[str, str] | None = None,
        base_url: str | None = None,
        order: int = 10,
        rate: float | None = None,
        retry: Preset | tuple[float, ...] | None = None,
        enabled: bool = True,
    ) -> None:
        core = self.hermod.core
        if base_url is None and self.sandbox is not None and provider != "smtp":
            base_url = f"{self.sandbox.url}/{provider}"
        account = AccountInput(
            channel=channel,
            provider=provider,
            credentials={key: SecretStr(value) for key, value in (credentials or {"api_key": "key"}).items()},
            base_url=base_url,
            from_="shop@example.com" if channel is Channel.EMAIL else "+14155550199",
            order=order,
            rate_per_second=rate,
            retry=retry,
            enabled=enabled,
        )
        await core.storage.accounts.put(self.hermod.tenant, name, account, actor="test", now=core.clock.now())

    def script(self, account: str, *outcomes: AnyOutcome, idempotent: bool = False, max_batch: int = 1) -> Script:
        """What `account` will answer."""
        assert isinstance(self.senders, ScriptedSenders)
        script = Script(idempotent=idempotent, max_batch=max_batch)
        if outcomes:
            script.outcomes = list(outcomes)
        self.senders.scripts[(self.hermod.tenant, account)] = script
        return script

    async def ended(self, message: str, *, within: float = 60.0) -> MessageView:
        """The message's story, once it has an end."""

        async def closed() -> MessageView | None:
            view = await self.hermod.status(message)
            return view if view.status not in OPEN else None

        view = await eventually(closed, within=within)
        assert view is not None
        return view

    async def reached(self, message: str, status: Status, *, within: float = 60.0) -> MessageView:
        async def there() -> MessageView | None:
            view = await self.hermod.status(message)
            assert view.status is status, f"{view.status.value}: {view.error} {view.decisions}"
            return view

        view = await eventually(there, within=within)
        assert view is not None
        return view


async def new_house(
    hermod: Hermod, client: Client, senders: SenderFactory | None = None, sandbox: Sandbox | None = None
) -> ProductFixture:
    tenant = f"t{next(_tenants)}"
    await hermod.core.storage.tenants.create(tenant, tenant, hermod.core.clock.now())
    return ProductFixture(hermod.as_tenant(tenant, "test"), client, senders, sandbox)


def settings_for(database_url: str, temporal_address: str, clickhouse: tuple[str, str] = (NOWHERE, "none")) -> Settings:
    """`clickhouse`: its URL, and the name of a database in it."""
    return load_settings(
        DATABASE_URL=database_url,
        HERMOD_SECRET_KEY=Vault.new_key(),
        HERMOD_JWT_SECRET="a secret of thirty-two characters",
        TEMPORAL_ADDRESS=temporal_address,
        CLICKHOUSE_URL=clickhouse[0],
        CLICKHOUSE_DATABASE=clickhouse[1],
        HERMOD_ALLOW_PRIVATE_ADDRESSES=True,
        HERMOD_WORKER_PORT=0,
        HERMOD_BACKLOG_SECONDS=86_400,
    )


def _workers(hermod: Hermod, client: Client, senders: SenderFactory) -> list[Worker]:
    core = hermod.core
    return build_workers(
        client, core.settings, core.storage, senders, core.poster, analytics=core.analytics, backend=BACKENDS
    )


@asynccontextmanager
async def working(settings: Settings, client: Client, senders: SenderFactory) -> AsyncIterator[Hermod]:
    """A client and a worker on these servers."""
    async with (
        await Hermod.connect(settings=settings, temporal=client, tenant="default") as hermod,
        hermod.core.storage.workers.session(),
        running(_workers(hermod, client, senders)),
    ):
        yield hermod


@asynccontextmanager
async def working_on(hermod: Hermod, temporal: str, lanes: Sequence[Lane]) -> AsyncIterator[None]:
    """A worker for these lanes alone, at a Temporal server of the test's own. It ends at once."""
    core, client = hermod.core, await Client.connect(temporal, data_converter=DATA_CONVERTER)
    async with open_senders(core.settings) as senders:
        built = build_workers(
            client,
            core.settings,
            core.storage,
            senders,
            core.poster,
            analytics=core.analytics,
            lanes=lanes,
            drain=timedelta(0),
        )
        async with running(built):
            yield


@pytest.fixture(scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running_sandbox:
        yield running_sandbox


async def _database(postgres: Postgres, template: str, name: str) -> str:
    await postgres.create_database(name, template=template)
    return postgres.url(name)


@pytest.fixture(scope="session")
async def _product(
    postgres: Postgres, migrated_template: str, temporal: Client, clickhouse: ClickHouseServer
) -> AsyncIterator[tuple[Hermod, SenderFactory]]:
    url = await _database(postgres, migrated_template, "product")
    settings = settings_for(url, temporal.service_client.config.target_host, (clickhouse.url, "product"))
    async with AsyncExitStack() as stack:
        senders = await stack.enter_async_context(open_senders(settings))
        hermod = await stack.enter_async_context(working(settings, temporal, senders))
        await schedules.apply(temporal)
        yield hermod, senders


@pytest.fixture
async def house(_product: tuple[Hermod, SenderFactory], temporal: Client, sandbox: Sandbox) -> ProductFixture:
    """A tenant of its own in a running product whose providers are the sandbox."""
    return await new_house(_product[0], temporal, _product[1], sandbox)


@pytest.fixture(scope="session")
async def _skipping(
    postgres: Postgres,
    migrated_template: str,
    time_skipping: WorkflowEnvironment,
    clickhouse: ClickHouseServer,
) -> AsyncIterator[tuple[Hermod, ScriptedSenders]]:
    url = await _database(postgres, migrated_template, "skipping")
    client = time_skipping.client
    settings = settings_for(url, client.service_client.config.target_host, (clickhouse.url, "skipping"))
    senders = ScriptedSenders()
    async with working(settings, client, senders) as hermod:
        yield hermod, senders


@pytest.fixture
async def skipping(_skipping: tuple[Hermod, ScriptedSenders], time_skipping: WorkflowEnvironment) -> ProductFixture:
    """A tenant of its own where time is skipped and senders are scripted."""
    return await new_house(_skipping[0], time_skipping.client, _skipping[1])
