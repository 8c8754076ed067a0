"""The API over a real database, with a tenant, a key and an account for each channel. Temporal is away, as it may."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Row, text

from devstack.servers.ports import free_port
from devstack.servers.postgres import Postgres
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Status
from hermod.contracts.tenants.accounts import AccountInput
from starter import Hermod
from tests.support.product import settings_for
from web.app import create_app

EMAIL: dict[str, Any] = {"channel": "email", "to": "ada@example.com", "subject": "Hello", "text": "It works"}
SMS: dict[str, Any] = {"channel": "sms", "to": "+14155550100", "body": "It works"}
_tenants = itertools.count(1)


@dataclass(frozen=True)
class Api:
    """The API as one tenant calls it, and the database behind it."""

    app: FastAPI
    client: httpx.AsyncClient
    hermod: Hermod

    async def send(self, message: object, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/v1/messages", json=message, headers=named)

    async def sent(self, **changes: object) -> str:
        """The id of a message that was taken."""
        response = await self.send(EMAIL | changes)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    @property
    def tenant(self) -> str:
        return self.hermod.tenant

    async def rows(self, statement: str) -> Sequence[Row[Any]]:
        """Rows of the database; the statement names the tenant as `:tenant`."""
        return await self.hermod.core.storage.database.rows(text(statement), {"tenant": self.tenant})

    async def stored(self) -> int:
        """The tenant's messages in the database."""
        return len(await self.rows("SELECT id FROM messages WHERE tenant_id = :tenant"))

    async def put_into(self, message: str, status: Status) -> None:
        """Move a message's record to a state that it takes a worker to reach."""
        statement = text("UPDATE messages SET status = :status WHERE id = :id")
        await self.hermod.core.storage.database.execute(statement, {"id": message, "status": status.value})


async def add_account(hermod: Hermod, channel: Channel) -> None:
    account = AccountInput(
        channel=channel,
        provider="sandbox",
        credentials={"api_key": SecretStr("secret")},
        base_url="http://127.0.0.1:9/sandbox",
    )
    accounts, now = hermod.core.storage.accounts, hermod.core.clock.now()
    await accounts.put(hermod.tenant, f"main-{channel.value}", account, actor="test", now=now)


async def new_api(process: Hermod, app: FastAPI, client: httpx.AsyncClient) -> Api:
    """A tenant of its own with an account for each channel; `client` calls with its key from now on."""
    tenant = f"shop{next(_tenants)}"
    tenants, now = process.core.storage.tenants, process.core.clock.now()
    await tenants.create(tenant, tenant, now)
    client.headers["authorization"] = f"Bearer {(await tenants.create_key(tenant, 'test', now)).key}"
    hermod = process.as_tenant(tenant, "test")
    for channel in Channel:
        await add_account(hermod, channel)
    return Api(app, client, hermod)


@asynccontextmanager
async def calling(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hermod.test") as client:
        yield client


@pytest.fixture(scope="session")
async def process(postgres: Postgres, migrated_template: str) -> AsyncIterator[Hermod]:
    """The client of a web process, on a database of the API tests, with no Temporal to be found."""
    await postgres.create_database("api", template=migrated_template)
    settings = settings_for(postgres.url("api"), f"127.0.0.1:{free_port()}")
    async with await Hermod.connect(settings=settings) as hermod:
        yield hermod


@pytest.fixture(scope="session")
def app(process: Hermod) -> FastAPI:
    return create_app(process.core.settings, hermod=process)


@pytest.fixture
async def api(process: Hermod, app: FastAPI) -> AsyncIterator[Api]:
    async with calling(app) as client:
        yield await new_api(process, app, client)


def assert_problem(response: httpx.Response, status: int, kind: str, field: str | None = None) -> None:
    """The response is a problem of this kind, and names the field."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == f"urn:hermod:problem:{kind}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]
    if field is not None:
        assert field in [error["field"] for error in problem["errors"]], problem["errors"]
        assert all(error["message"] for error in problem["errors"])
