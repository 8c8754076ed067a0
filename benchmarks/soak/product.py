"""The product as processes, with a tenant in it: its accounts at the sandbox, its endpoints, its form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
from temporalio.client import Client

from benchmarks.soak.api import Api
from benchmarks.soak.receiver import ANSWERS, GOOD, ORDERED, Receivers
from benchmarks.soak.verdict import Records
from devstack.cluster import Cluster, temporary_cluster
from devstack.servers.process import Child
from starter import Hermod
from starter.temporal.connection import connect

TENANT: Final = "soak"
FORM: Final = "signup"
WITH_KEYS, WITHOUT_KEYS, LIMITED, PUSH = "mail-main", "mail-plain", "sms-limited", "push-main"
"""Accounts: a provider that knows idempotency keys, one that knows none, one with a rate limit, one for devices."""
REPLAYED: Final = frozenset({"good-1"})
"""Endpoints whose deliveries the operator sends again."""
ABANDON_AFTER: Final = 4
"""Seconds."""
HANG_TIMEOUT: Final = 5
"""Seconds that the endpoint that hangs is waited for."""
_WELCOME: Final = {
    "channel": "email",
    "to": "{{ data.email }}",
    "content": {"subject": "Welcome", "text": "Good to see you"},
}
_SCHEMA: Final = {
    "type": "object",
    "required": ["email"],
    "properties": {"email": {"type": "string", "format": "email"}, "name": {"type": "string", "maxLength": 100}},
}


@dataclass(frozen=True, slots=True)
class Product:
    """A running product. `hermod` is a client in this process, `api` the same over HTTP."""

    cluster: Cluster
    worker: Child
    web: Child
    hermod: Hermod
    temporal: Client
    api: Api
    sandbox: httpx.AsyncClient
    receivers: Receivers
    endpoints: dict[str, str]
    """Their ids, by the names in `receiver.ANSWERS`."""

    @property
    def records(self) -> Records:
        return Records(self.hermod, self.sandbox, self.endpoints, self.receivers.received, REPLAYED)

    @property
    def servers(self) -> dict[str, int]:
        """The processes that are watched, by name."""
        cluster = self.cluster
        return {
            "worker": self.worker.pid,
            "web": self.web.pid,
            "PostgreSQL": cluster.postgres.child.pid,
            "Temporal": cluster.temporal.child.pid,
            "ClickHouse": cluster.clickhouse.child.pid,
        }


@asynccontextmanager
async def running_product(rate: float) -> AsyncIterator[Product]:
    """Everything up and prepared; `rate` scales the limit of the account that has one."""
    async with (
        temporary_cluster() as cluster,
        Receivers() as receivers,
        await Hermod.connect(settings=cluster.settings, tenant=TENANT) as hermod,
        httpx.AsyncClient(base_url=cluster.sandbox.url, timeout=30, trust_env=False) as sandbox,
    ):
        tenants, now = hermod.core.storage.tenants, hermod.core.clock.now()
        await tenants.create(TENANT, "Soak", now)
        key = (await tenants.create_key(TENANT, "soak", now)).key
        worker = await cluster.start_worker()
        web = await cluster.start_web()
        async with _client(web.url, key) as client:
            api = Api(client)
            await _accounts(api, cluster.sandbox.url, rate)
            await _form(api)
            yield Product(
                cluster,
                worker,
                web.child,
                hermod,
                await connect(cluster.settings, lazy=False),
                api,
                sandbox,
                receivers,
                await _endpoints(api, receivers),
            )


def _client(url: str, key: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=50)
    headers = {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=30, limits=limits, trust_env=False)


async def _accounts(api: Api, sandbox: str, rate: float) -> None:
    mail = {"channel": "email", "from": "Shop <shop@example.com>"}
    twilio = {"account_sid": "AC" + "0" * 32, "auth_token": "0" * 32, "status_callback": f"{sandbox}/callback"}
    accounts: dict[str, dict[str, Any]] = {
        WITH_KEYS: mail | {"provider": "sandbox", "credentials": {"api_key": "mail"}, "order": 10},
        WITHOUT_KEYS: mail
        | {"provider": "sendgrid", "credentials": {"api_key": "SG.key.secret"}, "order": 20, "rate_per_second": 500},
        LIMITED: {
            "channel": "sms",
            "provider": "twilio",
            "credentials": twilio,
            "from": "+14155550000",
            "rate_per_second": max(1.0, 4 * rate),
        },
        PUSH: {"channel": "push", "provider": "sandbox", "credentials": {"api_key": "push"}},
    }
    for name, account in accounts.items():
        whole = {"base_url": f"{sandbox}/{account['provider']}"} | account
        await _must(api, "PUT", f"/v1/provider-accounts/{name}", whole)


async def _endpoints(api: Api, receivers: Receivers) -> dict[str, str]:
    special: dict[str, dict[str, Any]] = {
        ORDERED: {"ordering": "by_key"},
        "good-3": {"rate_per_second": 20},
        "good-4": {"event_types": ["order.*", "submission.*", "form.*"]},
        "hangs": {"timeout_seconds": HANG_TIMEOUT},
        "answers-500": {"retry": [1, 2]},
    }
    assert set(GOOD) < set(ANSWERS)
    ids = {}
    for name in ANSWERS:
        settings = {"url": receivers.url(name), "event_types": ["order.*"], "description": name}
        made = await _must(api, "POST", "/v1/webhook-endpoints", settings | special.get(name, {}))
        ids[name] = str(made["id"])
    return ids


async def _form(api: Api) -> None:
    form = {
        "name": "Sign up",
        "schema": _SCHEMA,
        "on_submit": {"notifications": [_WELCOME]},
        "partials": {"abandon_after": ABANDON_AFTER, "webhooks": True},
    }
    await _must(api, "PUT", f"/v1/forms/{FORM}", form)


async def _must(api: Api, method: str, path: str, body: dict[str, Any]) -> Any:
    made = await api.call(f"{method} {path}", method, path, body)
    if made is None:
        raise RuntimeError(f"{method} {path} was not answered as it should: {dict(api.unexpected)}")
    return made
