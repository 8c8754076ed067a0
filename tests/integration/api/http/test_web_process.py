"""`python -m web` as a process: it says what it does in its log, and leaves when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import orjson

from devstack.servers.ports import LOOPBACK, free_port
from devstack.servers.postgres import Postgres
from hermod.storage.secrets.vault import Vault
from tests.integration.api.conftest import EMAIL, assert_problem
from tests.support.polling import eventually

ROOT = Path(__file__).parents[4]


@asynccontextmanager
async def web(folder: Path, **environment: str) -> AsyncIterator[tuple[Process, str]]:
    """The process and its address. Ended at the end, whatever happened."""
    port = free_port()
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HERMOD_PORT": str(port),
        "HERMOD_SECRET_KEY": Vault.new_key(),
        "TEMPORAL_ADDRESS": f"{LOOPBACK}:{free_port()}",
        **environment,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "web", env=variables, cwd=folder, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process, f"http://{LOOPBACK}:{port}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def answering(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/metrics")).status_code == 200
    except httpx.TransportError:
        return False


async def test_process_is_told_to_end_leaves_with_zero_and_its_log_names_nobody(tmp_path: Path) -> None:
    nowhere = f"postgresql://nobody:nothing@{LOOPBACK}:{free_port()}/nowhere"
    async with web(tmp_path, DATABASE_URL=nowhere) as (process, url):
        async with httpx.AsyncClient(base_url=url) as client:
            await eventually(lambda: answering(client), within=30)
            headers = {"authorization": "Bearer hk_0123456789ab_aaaaaaaaaaaaaaaaaaaaaaaa", "x-request-id": "find-me"}
            assert_problem(await client.post("/v1/messages", json=EMAIL, headers=headers), 503, "unavailable")
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), timeout=15)
    assert process.returncode == 0
    lines = [orjson.loads(line) for line in log.splitlines()]
    (request,) = [line for line in lines if line.get("request_id") == "find-me"]
    assert (request["event"], request["route"], request["status"]) == ("request", "/v1/messages", 503)
    assert b"ada@example.com" not in log
    assert b"hk_" not in log


async def test_settings_are_missing_says_which_and_ends_with_two(tmp_path: Path) -> None:
    async with web(tmp_path) as (process, _):
        _, log = await asyncio.wait_for(process.communicate(), timeout=30)
    assert process.returncode == 2
    assert b"DATABASE_URL is not set" in log
    assert b"Traceback" not in log


async def test_port_is_taken_says_so_and_ends_with_one(tmp_path: Path) -> None:
    nowhere = f"postgresql://nobody:nothing@{LOOPBACK}:{free_port()}/nowhere"
    taken = await asyncio.start_server(lambda _, __: None, LOOPBACK, 0)
    async with (
        taken,
        web(tmp_path, DATABASE_URL=nowhere, HERMOD_PORT=str(taken.sockets[0].getsockname()[1])) as (process, _),
    ):
        _, log = await asyncio.wait_for(process.communicate(), timeout=30)
    assert process.returncode == 1
    assert b"HERMOD_PORT" in log


async def test_database_has_no_tables_yet_the_web_says_what_to_run_and_does_not_start(
    postgres: Postgres, tmp_path: Path
) -> None:
    """It answered every call with a 500, and its own health too."""
    await postgres.create_database("web_without_tables")
    async with web(tmp_path, DATABASE_URL=postgres.url("web_without_tables")) as (process, _):
        _, said = await asyncio.wait_for(process.communicate(), timeout=60)
    assert process.returncode == 1
    told = [orjson.loads(line) for line in said.splitlines()]
    assert [(one["event"], "run `hermod migrate`" in one["error"]) for one in told] == [("cannot_start", True)]
