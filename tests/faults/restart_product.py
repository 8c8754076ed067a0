"""The product that the restart tests break: each server and process apart, and a tenant with all that it needs.

Worker, web and the application's client go by way of fault proxies where a test asks for them; who looks at the
records does not.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import psutil
from pydantic import SecretStr
from sqlalchemy import text
from temporalio.client import Client

from benchmarks.soak.delivery_checks import Received
from devstack.cluster import Cluster, Web, temporary_cluster
from devstack.servers.process import Child
from hermod.settings import Settings
from starter import Hermod
from starter.temporal.connection import connect
from tests.faults.restart_load import (
    FAILING,
    FORM,
    KEYED,
    LIMITED,
    PAUSE,
    PAUSED,
    PER_SECOND,
    PLAIN,
)
from tests.support.hostile import Hostile
from tests.support.proxies.fault_proxy import FaultProxy

TENANT: Final = "shop"
STOPPED_WITHIN: Final = 60.0
"""Seconds that a worker or web has to end in good order; a worker lets its requests end first."""
LATER_FAILURES: Final = 6
"""Deliveries whose first attempt the endpoint `later` refuses, and that come again over a minute later."""
_NUMBER: Final = text("SELECT number FROM workers WHERE pid = :pid ORDER BY number DESC LIMIT 1")


@dataclass
class Product:
    cluster: Cluster
    observer: Hermod
    """Looks at the records, past every proxy."""
    application: Hermod
    temporal: Client
    key: str
    """Of the API."""
    sandbox: httpx.AsyncClient
    proxies: dict[str, FaultProxy]
    """By the server that they stand in front of: `database`, `temporal`, `clickhouse`."""
    environment: dict[str, str]
    """Of a worker or web that goes by way of them."""
    receivers: dict[str, Hostile]
    endpoints: dict[str, str] = field(default_factory=dict)
    """Ids, by the names of `receivers`."""
    lost_workers: set[int] = field(default_factory=set)
    """The sessions of workers that were killed."""
    killed: list[Child] = field(default_factory=list)

    @property
    def web(self) -> Web:
        """The one that calls go to."""
        return self.cluster.webs[-1]

    @property
    def worker(self) -> Child:
        """The one that was started last."""
        return self.cluster.workers[-1]

    async def start_worker(self) -> Child:
        return await self.cluster.start_worker(environment=self.environment)

    async def start_web(self, *, port: int | None = None) -> Web:
        return await self.cluster.start_web(port=port, environment=self.environment)

    async def kill_worker(self) -> None:
        """SIGKILL to the one that was started last."""
        rows = await self.observer.core.storage.database.rows(_NUMBER, {"pid": self.worker.pid})
        self.lost_workers |= {row.number for row in rows}
        await self.kill(self.worker)

    async def kill(self, child: Child) -> None:
        """SIGKILL to a process and all its descendants, in whichever process groups they are."""
        self.killed.append(child)
        family = psutil.Process(child.pid).children(recursive=True)
        child.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await child.until_exit()
        await asyncio.to_thread(psutil.wait_procs, family, 5)

    async def stop(self) -> list[str]:
        """Stop workers and webs, so that nothing moves any more; what did not end in good order."""
        children = [*self.cluster.workers, *(web.child for web in self.cluster.webs)]
        early = [child for child in children if child.exit_code not in (None, 0) and child not in self.killed]
        living = [child for child in children if child.exit_code is None]
        await asyncio.gather(*(child.stop(within=STOPPED_WITHIN) for child in living))
        ended_badly = [child for child in living if child.exit_code != 0]
        return [f"{child.program.name} ended with {child.exit_code}" for child in (*early, *ended_badly)]

    @property
    def received(self) -> Received:
        """What the receivers have got, by delivery."""
        requests = [
            (name, request.headers["webhook-id"])
            for name, receiver in self.receivers.items()
            for request in receiver.requests
        ]
        counted = Counter(own for _, own in requests)
        taken = Counter(own for name, own in requests if name != "failing")
        later = {request.headers["webhook-id"] for request in self.receivers["later"].requests[:LATER_FAILURES]}
        taken.subtract(later)
        order = {own: place for place, own in enumerate(dict.fromkeys(own for _, own in requests))}
        return Received(counted, counted, taken, order)


@asynccontextmanager
async def running_product(*, proxied: bool, workers: int) -> AsyncIterator[Product]:
    """Servers, workers and a web; all of them are gone at the end."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(temporary_cluster())
        proxies = {
            name: await stack.enter_async_context(FaultProxy.before(address))
            for name, address in (_addresses(cluster.settings).items() if proxied else ())
        }
        settings = _through(cluster.settings, proxies)
        observer = await stack.enter_async_context(await Hermod.connect(settings=cluster.settings, tenant=TENANT))
        tenants, now = observer.core.storage.tenants, observer.core.clock.now()
        await tenants.create(TENANT, "Shop", now)
        product = Product(
            cluster,
            observer,
            await stack.enter_async_context(await Hermod.connect(settings=settings, tenant=TENANT)),
            await connect(cluster.settings, lazy=False),
            (await tenants.create_key(TENANT, "test", now)).key,
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=cluster.sandbox.url, timeout=30, trust_env=False)
            ),
            proxies,
            {
                "DATABASE_URL": settings.database_url.get_secret_value(),
                "TEMPORAL_ADDRESS": settings.temporal_address,
                "CLICKHOUSE_URL": settings.clickhouse_url.get_secret_value() if settings.clickhouse_url else "",
            },
            {name: await stack.enter_async_context(Hostile()) for name in ("good", "slow", "failing", "later")},
        )
        # It ends what a failed test has left, while the servers and proxies are still there.
        stack.push_async_callback(_end, cluster)
        for _ in range(workers):
            await product.start_worker()
        await product.start_web()
        await _prepare(product)
        yield product


def _addresses(settings: Settings) -> dict[str, str]:
    clickhouse = settings.clickhouse_url
    assert clickhouse is not None
    return {
        "database": settings.database_url.get_secret_value(),
        "temporal": settings.temporal_address,
        "clickhouse": clickhouse.get_secret_value(),
    }


def _through(settings: Settings, proxies: dict[str, FaultProxy]) -> Settings:
    if not proxies:
        return settings
    by_way = {name: proxies[name].through(address) for name, address in _addresses(settings).items()}
    return settings.model_copy(
        update={
            "database_url": SecretStr(by_way["database"]),
            "temporal_address": by_way["temporal"],
            "clickhouse_url": SecretStr(by_way["clickhouse"]),
        }
    )


async def _end(cluster: Cluster) -> None:
    for child in (*cluster.workers, *(web.child for web in cluster.webs)):
        if child.exit_code is None:
            child.thaw()
            os.killpg(child.pid, signal.SIGKILL)
            await child.until_exit()


async def _prepare(product: Product) -> None:
    async with httpx.AsyncClient(
        base_url=product.web.url, headers={"authorization": f"Bearer {product.key}"}, timeout=30, trust_env=False
    ) as api:
        for name, account in _accounts(product.cluster.sandbox.url).items():
            (await api.put(f"/v1/provider-accounts/{name}", json=account)).raise_for_status()
        (await api.put(f"/v1/forms/{FORM}", json=_FORM)).raise_for_status()
        for name, settings in _ENDPOINTS.items():
            given = settings | {"url": product.receivers[name].url, "description": name}
            made = (await api.post("/v1/webhook-endpoints", json=given)).raise_for_status()
            product.endpoints[name] = made.json()["id"]
    product.receivers["slow"].behave("slow")
    product.receivers["failing"].behave("503")
    product.receivers["later"].behave(*["503"] * LATER_FAILURES, "ok")
    order = {"fault": "throttle", "retry_after": PAUSE, "times": 1, "to": "paused+0@example.com"}
    (await product.sandbox.put("/_sandbox/faults/sandbox", json=order)).raise_for_status()


_FORM: Final = {
    "name": "Sign up",
    "schema": {
        "type": "object",
        "required": ["email"],
        "properties": {"email": {"type": "string", "format": "email"}, "name": {"type": "string", "maxLength": 100}},
    },
    "on_submit": {
        "notifications": [
            {
                "channel": "email",
                "to": "{{ data.email }}",
                "content": {"subject": "Welcome", "text": "Good to see you"},
            }
        ]
    },
}
_ENDPOINTS: Final[dict[str, dict[str, Any]]] = {
    "good": {"event_types": ["order.paid", "submission.*"]},
    "slow": {"event_types": ["order.paid"]},
    "failing": {"event_types": ["order.paid"], "retry": [1, 2]},
    "later": {"event_types": ["order.later"], "retry": [PAUSE]},
}


def _accounts(sandbox: str) -> dict[str, dict[str, Any]]:
    mail = {"channel": "email", "from": "Shop <shop@example.com>"}
    twilio = {"account_sid": "AC" + "0" * 32, "auth_token": "0" * 32, "status_callback": f"{sandbox}/callback"}
    keyed = mail | {"provider": "sandbox", "base_url": f"{sandbox}/sandbox"}
    return {
        KEYED: keyed | {"credentials": {"api_key": "keyed"}, "order": 10},
        PLAIN: mail
        | {
            "provider": "sendgrid",
            "base_url": f"{sandbox}/sendgrid",
            "credentials": {"api_key": "SG.key.secret"},
            "order": 20,
        },
        FAILING: keyed | {"credentials": {"api_key": "failing"}, "order": 30},
        PAUSED: keyed | {"credentials": {"api_key": "paused"}, "order": 40},
        LIMITED: {
            "channel": "sms",
            "provider": "twilio",
            "base_url": f"{sandbox}/twilio",
            "credentials": twilio,
            "from": "+14155550000",
            "rate_per_second": PER_SECOND,
        },
    }
