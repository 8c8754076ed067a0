"""The command line as somebody uses it: settings from the environment, over a real database or the running product."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from sqlalchemy import text
from typer.testing import CliRunner, Result

from devstack.servers.ports import LOOPBACK, free_port
from devstack.servers.temporal import TemporalServer
from hermod.contracts.notifications.messages import Status
from starter import Hermod
from starter.cli.app import app
from tests.support.product import ProductFixture, settings_for

SECRET = "a secret of thirty-two characters"


@pytest.fixture
def own_log() -> Iterator[None]:
    """A command sets up the log of its process; here that process is everybody's."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


@dataclass(frozen=True)
class Cli:
    """The command line as somebody uses it, and the database behind it."""

    hermod: Hermod

    async def run(self, *arguments: str, stdin: str = "", code: int = 0) -> Result:
        """Run a command and expect its exit code."""
        result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), stdin)
        assert result.exit_code == code, (result.output, result.exception)
        assert "Traceback" not in result.output
        return result

    async def json(self, *arguments: str, stdin: str = "", code: int = 0) -> Any:
        """What a command answers in JSON; nothing else may be on standard output."""
        return orjson.loads((await self.run(*arguments, "--json", stdin=stdin, code=code)).stdout)

    async def ready(self) -> None:
        """A tenant with an account for email."""
        await self.run("tenants", "create", "shop")
        await self.run("accounts", "put", "main", "--channel", "email", "--provider", "sandbox",
                       "--credential", "api_key=k", "--base-url", "http://127.0.0.1:9")  # fmt: skip

    async def put_into(self, message: str, status: Status) -> None:
        statement = text("UPDATE messages SET status = :status, dead_at = now() WHERE id = :id")
        await self.hermod.core.storage.database.execute(statement, {"id": message, "status": status.value})

    async def stored(self) -> int:
        return len(await self.hermod.core.storage.database.rows(text("SELECT id FROM messages"), {}))


def environment(monkeypatch: pytest.MonkeyPatch, folder: Path, **variables: str) -> None:
    monkeypatch.chdir(folder)
    for name, value in {
        "HERMOD_TENANT": "shop",
        "HERMOD_JWT_SECRET": SECRET,
        "HERMOD_ALLOW_PRIVATE_ADDRESSES": "1",
        "TEMPORAL_ADDRESS": f"{LOOPBACK}:{free_port()}",
        "COLUMNS": "200",
        "HERMOD_BACKLOG_SECONDS": "86400",
        **variables,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def cli(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_log: None) -> AsyncIterator[Cli]:
    """Commands with settings from the environment, on a database of their own; Temporal is away."""
    settings = settings_for(database_url, f"{LOOPBACK}:{free_port()}")
    key = settings.secret_key.get_secret_value()
    environment(monkeypatch, tmp_path, DATABASE_URL=database_url, HERMOD_SECRET_KEY=key)
    async with await Hermod.connect(settings=settings, tenant="shop") as hermod:
        yield Cli(hermod)


@pytest.fixture
async def running(
    house: ProductFixture,
    temporal_server: TemporalServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own_log: None,
) -> tuple[Cli, ProductFixture]:
    """Commands for a tenant of the running product."""
    settings = house.hermod.core.settings
    environment(
        monkeypatch,
        tmp_path,
        DATABASE_URL=settings.database_url.get_secret_value(),
        HERMOD_SECRET_KEY=settings.secret_key.get_secret_value(),
        HERMOD_TENANT=house.hermod.tenant,
        TEMPORAL_ADDRESS=temporal_server.address,
        CLICKHOUSE_URL=settings.clickhouse_url.get_secret_value() if settings.clickhouse_url else "",
        CLICKHOUSE_DATABASE=settings.clickhouse_database,
    )
    return Cli(house.hermod), house


async def send(cli: Cli, *more: str) -> str:
    answer = await cli.json("send", "--to", "ada@example.com", "--subject", "Hello", "--text", "It works", *more)
    return str(answer["id"])
