"""`make run` from outside: what it prints, how it ends, and that every ending leads to a next start."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from devstack.servers.ports import LOOPBACK, free_ports
from tests.support.polling import eventually
from tests.support.processes import python

_PORTS = (
    "PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT", "SANDBOX_PORT", "SMTP_PORT", "APNS_PORT", "CLICKHOUSE_PORT",
    "POSTGRES_PORT",
)  # fmt: skip
_STARTED = ("PostgreSQL", "Temporal", "provider sandbox", "worker", "is ready after")
"""Lines on the way up: each says that something has just happened."""
_SERVERS = {
    "ClickHouse": "devstack.clickhouse",
    "the provider sandbox": "devstack.sandbox",
    "PostgreSQL": "cluster/data",
    "Temporal": "start-dev",
}
"""What each server's command line has and no other's."""


@dataclass
class Home:
    """A data folder with ports of its own."""

    path: Path
    ports: dict[str, int] = field(default_factory=lambda: dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True)))

    @property
    def environment(self) -> dict[str, str]:
        return {f"HERMOD_{name}": str(port) for name, port in self.ports.items()} | {"HERMOD_DATA_DIR": str(self.path)}

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['PORT']}"

    def dev(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads((self.path / "dev.json").read_text())
        return described

    def living(self) -> list[psutil.Process]:
        """All processes that work for this folder."""
        return [process for process in psutil.process_iter() if str(self.path) in " ".join(_command(process))]

    def servers(self, marked: str) -> list[psutil.Process]:
        return [process for process in self.living() if marked in " ".join(_command(process))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@dataclass
class Run:
    """A started `python -m devstack` and what it has printed so far."""

    process: subprocess.Popen[str]
    printed: list[str] = field(default_factory=list)

    async def until(self, word: str) -> None:
        """Read on until a line contains `word`. Fails when the output ends before."""
        assert self.process.stdout
        while not any(word in line for line in self.printed):
            line = await asyncio.to_thread(self.process.stdout.readline)
            assert line, f"ended without {word!r}:\n{self.text}"
            self.printed.append(line)

    async def ended(self) -> int:
        """Its exit code, with everything it printed."""
        assert self.process.stdout
        self.printed += await asyncio.to_thread(self.process.stdout.readlines)
        return await asyncio.to_thread(self.process.wait)

    async def stopped(self, by: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Exit code and seconds after a signal."""
        begun = time.monotonic()
        self.process.send_signal(by)
        return await self.ended(), time.monotonic() - begun

    @property
    def text(self) -> str:
        return "".join(self.printed)


@pytest.fixture
def home() -> Iterator[Home]:
    path = Path(tempfile.mkdtemp(prefix="hermod-run-"))
    yield Home(path)
    shutil.rmtree(path, ignore_errors=True)


@asynccontextmanager
async def started(home: Home, **environment: str) -> AsyncIterator[Run]:
    with python("-m", "devstack", environment={**home.environment, **environment}) as process:
        yield Run(process)


@asynccontextmanager
async def api(home: Home) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {home.dev()['api_key']}"}
    async with httpx.AsyncClient(base_url=home.url, headers=headers) as client:
        yield client


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.get(url)


async def send(home: Home, **options: str) -> str:
    message = {"channel": "email", "to": "grace@example.com", "subject": "Hello", "text": "Hello", **options}
    async with api(home) as client:
        answer = await client.post("/v1/messages", json=message)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def status(home: Home, message: str) -> str:
    async with api(home) as client:
        return str((await client.get(f"/v1/messages/{message}")).raise_for_status().json()["status"])


async def test_first_start_delivers_the_demo_and_stops_with_exit_code_0(home: Home) -> None:
    async with started(home) as run:
        await eventually((home.path / "dev.json").exists, within=60)
        health = await get(f"{home.url}/health")
        await run.until("is ready after")
        dev = home.dev()
        inbox = (await get(f"{dev['sandbox_url']}/_sandbox/inbox")).json()
        code, seconds = await run.stopped()
    assert health.status_code == 200
    assert {entry["channel"] for entry in inbox["items"]} == {"email", "sms"}
    assert "to Ada Lovelace <ada@example.com> by demo-smtp: sent" in run.text
    assert "to +14155550123 by demo-twilio: sent" in run.text
    assert f"Authorization: Bearer {dev['api_key']}" in run.text
    assert "\x1b" not in run.text
    assert set(dev) == {
        "url", "api_key", "admin_token", "tenant", "temporal_address", "temporal_ui", "database_url", "sandbox_url",
        "smtp_port", "apns_url", "clickhouse_url",
    }  # fmt: skip
    assert (code, seconds < 15) == (0, True)
    assert home.living() == []
    assert not (home.path / "dev.json").exists()
    assert "Traceback" not in run.text


async def test_second_start_has_the_same_key_and_messages(home: Home) -> None:
    async with started(home, HERMOD_DEMO="0") as run:
        await run.until("is ready after")
        first, message = home.dev(), await send(home)
        await eventually(lambda: _is_sent(home, message))
        assert "demo-smtp" not in run.text
        assert (home.path / "dev.json").stat().st_mode & 0o777 == 0o600
        await run.stopped(signal.SIGINT)
    async with started(home) as run:
        await run.until("is ready after")
        assert home.dev()["api_key"] == first["api_key"]
        assert await status(home, message) == "sent"
        await run.stopped()


async def _is_sent(home: Home, message: str) -> bool:
    return await status(home, message) == "sent"


async def test_second_run_beside_the_first_says_which_and_where(home: Home) -> None:
    async with started(home) as first:
        await first.until("is ready after")
        async with started(home) as second:
            assert await second.ended() == 1
        assert f"already running on {home.path}: process {first.process.pid}, at {home.url}" in second.text
        assert (await get(f"{home.url}/health")).status_code == 200
        assert (await first.stopped())[0] == 0


async def test_two_products_side_by_side_differ_by_variables_alone(home: Home) -> None:
    other = Home(home.path / "other")
    third = Home(home.path / "third", home.ports)
    async with started(home, HERMOD_DEMO="0") as first, started(other, HERMOD_DEMO="0") as second:
        await first.until("is ready after")
        await second.until("is ready after")
        for one in (home, other):
            message = await send(one)
            await eventually(lambda one=one, message=message: _is_sent(one, message), within=60)  # type: ignore[misc]
            inbox = (await get(f"{one.dev()['sandbox_url']}/_sandbox/inbox")).json()["items"]
            assert [entry["message_id"] for entry in inbox] == [message]
        assert f":{other.ports['POSTGRES_PORT']}/" in other.dev()["database_url"]
        async with started(third) as refused:
            assert await refused.ended() == 1
        assert "8 ports are not free" in refused.text
        for name, port in home.ports.items():
            assert any(
                line.strip().startswith(f"{port} for ") and line.endswith(f"set HERMOD_{name} to another port\n")
                for line in refused.printed
            )
        assert [(await run.stopped())[0] for run in (first, second)] == [0, 0]


async def test_start_when_ports_are_taken_names_them_all_and_starts_nothing(home: Home) -> None:
    taken = [socket.create_server((LOOPBACK, home.ports[name])) for name in ("TEMPORAL_PORT", "SMTP_PORT")]
    async with started(home) as run:
        assert await run.ended() == 1
    for listener in taken:
        listener.close()
    assert f"{home.ports['TEMPORAL_PORT']} for Temporal: taken by" in run.text
    assert f"(pid {os.getpid()}: " in run.text
    assert "set HERMOD_TEMPORAL_PORT to another port" in run.text
    assert "set HERMOD_SMTP_PORT to another port" in run.text
    assert "Traceback" not in run.text
    assert not (home.path / "postgres").exists()


async def test_start_with_a_wrong_setting_names_the_variable(home: Home) -> None:
    async with started(home, HERMOD_SMTP_PORT="mail") as run:
        assert await run.ended() == 1
    assert "HERMOD_SMTP_PORT is wrong" in run.text


async def test_start_beside_settings_of_other_servers_uses_its_own(home: Home) -> None:
    foreign = {
        "DATABASE_URL": "postgresql://production.invalid/hermod",
        "CLICKHOUSE_URL": "https://production.invalid:8443",
        "CLICKHOUSE_USER": "production",
        "TEMPORAL_ADDRESS": "production.invalid:7233",
        "TEMPORAL_TLS": "true",
        "TEMPORAL_API_KEY": "secret",
        "HTTP_PROXY": "http://proxy.invalid:3128",
    }
    async with started(home, **foreign) as run:
        await run.until("is ready after")
        assert "Not used here, as everything is embedded: DATABASE_URL, CLICKHOUSE_URL, TEMPORAL_ADDRESS" in run.text
        assert (await run.stopped())[0] == 0


async def test_run_that_is_killed_at_every_step_is_followed_by_a_clean_start(home: Home) -> None:
    for reached in _STARTED:
        async with started(home) as killed:
            await killed.until(reached)
            killed.process.kill()
            await killed.ended()
    async with started(home) as run:
        await run.until("is ready after")
        assert "by demo-smtp: sent" in run.text
        assert (await run.stopped())[0] == 0
    await eventually(lambda: not home.living())


async def test_run_that_is_stopped_while_it_starts_ends_with_exit_code_0(home: Home) -> None:
    for reached in ("Starting", "PostgreSQL", "worker"):
        async with started(home) as run:
            await run.until(reached)
            code, seconds = await run.stopped()
        assert (code, seconds < 15) == (0, True), run.text
        assert "Traceback" not in run.text
        assert home.living() == []


async def test_message_that_waits_while_all_is_killed_is_sent_after_the_next_start(home: Home) -> None:
    async with started(home, HERMOD_DEMO="0") as killed:
        await killed.until("is ready after")
        message = await send(home, send_at=(datetime.now(UTC) + timedelta(seconds=2)).isoformat())
        killed.process.kill()
        await killed.ended()
    async with started(home, HERMOD_DEMO="0") as run:
        await run.until("is ready after")
        await eventually(lambda: _is_sent(home, message), within=45)
        assert (await run.stopped())[0] == 0


async def test_server_that_is_killed_is_started_again_and_everything_goes_on(home: Home) -> None:
    async with started(home, HERMOD_DEMO="0") as run:
        await run.until("is ready after")
        dev, message, inbox = home.dev(), await send(home), home.path / "sandbox" / "inbox.jsonl"
        await eventually(lambda: _is_sent(home, message))
        await eventually(lambda: message in inbox.read_text())
        for part, marked in _SERVERS.items():
            [server] = home.servers(marked)
            server.kill()
            await run.until(f"{part} was ended by SIGKILL; it is started again in")
            await run.until(f"{part} runs again")
            [again] = home.servers(marked)
            assert again.pid != server.pid
            assert await status(home, message) == "sent"
            await _goes_on(home, inbox)
        await eventually(lambda: _is_healthy(home), within=60)
        arrived = (await get(f"{dev['sandbox_url']}/_sandbox/inbox")).json()["items"]
        assert len(arrived) == 1 + len(_SERVERS)
        assert (home.dev(), run.process.poll()) == (dev, None)
        assert (await run.stopped())[0] == 0
    assert "Traceback" not in run.text
    assert home.living() == []


async def test_server_that_is_killed_and_cannot_start_ends_the_run_and_says_why(home: Home) -> None:
    async with started(home, HERMOD_DEMO="0") as run:
        await run.until("is ready after")
        [server] = home.servers(_SERVERS["Temporal"])
        server.suspend()
        database = next((home.path / "temporal").glob("*.db"))
        database.rename(database.with_suffix(".away"))
        database.mkdir()
        server.kill()
        assert await run.ended() == 1
    assert "Temporal ended with exit code 1 while it started. The end of" in run.text
    assert "Traceback" not in run.text
    assert home.living() == []


async def _goes_on(home: Home, inbox: Path) -> None:
    """A message is taken, sent, and in the file of the inbox."""
    message = await eventually(lambda: _accepted(home), within=60)
    await eventually(lambda: _is_sent(home, message), within=60)
    await eventually(lambda: message in inbox.read_text())


async def _accepted(home: Home) -> str | None:
    """The id of a new message; None while nothing can be stored."""
    try:
        return await send(home)
    except httpx.HTTPError:
        return None


async def _is_healthy(home: Home) -> bool:
    return (await get(f"{home.url}/health")).json()["status"] == "ok"
