"""Setting up a deployment: secrets for `.env`, the database's schema, and what is said where a setting is missing."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from devstack.servers.ports import LOOPBACK, free_port
from devstack.servers.postgres import Postgres
from hermod.storage.database.engine import Database
from hermod.storage.secrets.vault import Vault
from starter.cli.app import app
from starter.process.health import PortTaken, serve_health
from tests.integration.cli.conftest import Cli

ROOT = Path(__file__).parents[4]
SECRETS = ["POSTGRES_PASSWORD", "HERMOD_SECRET_KEY", "CLICKHOUSE_PASSWORD", "HERMOD_JWT_SECRET"]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_log: None) -> Path:
    """An empty folder, and an environment that says nothing."""
    for name in [name for name in os.environ if name.startswith(("HERMOD_", "DATABASE_", "CLICKHOUSE_", "TEMPORAL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def run(*arguments: str, code: int = 0) -> Result:
    result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    return result


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program in the repository whose environment has these variables and no others."""
    variables = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False
    )


async def test_secrets_of_the_compose_file_are_made_by_one_command(bare: Path) -> None:
    made = (await run("secrets", "new")).stdout
    values = dict(re.findall(r"^([A-Z_]+)=(\S+)$", made, re.MULTILINE))
    assert list(values) == SECRETS
    assert [line for line in made.splitlines() if not re.fullmatch(r"#.*|[A-Z_]+=\S+", line)] == []
    assert re.fullmatch(r"[A-Za-z0-9]{32,}", values["POSTGRES_PASSWORD"])
    assert len(set(values.values())) == len(values)
    Vault(values["HERMOD_SECRET_KEY"])
    again = dict(re.findall(r"^([A-Z_]+)=(\S+)$", (await run("secrets", "new")).stdout, re.MULTILINE))
    assert not set(again.values()) & set(values.values())
    example = (ROOT / ".env.example").read_text()
    (bare / ".env").write_text(f"{example}{made}DATABASE_URL=postgresql://a:b@localhost/c\n")
    assert (await run("token")).stdout.count(".") == 2


async def test_secrets_are_there_already_no_new_ones_take_their_place(bare: Path) -> None:
    """What the old key has encrypted could not be opened any more."""
    made = (await run("secrets", "new")).stdout
    (bare / ".env").write_text(f"# before\n{made}")
    refused = await run("secrets", "new", code=1)
    assert refused.stdout == ""
    assert "HERMOD_SECRET_KEY" in refused.stderr
    assert "hermod secrets new-key" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    (bare / ".env").write_text("HERMOD_SECRET_KEY=\nPOSTGRES_PASSWORD=\n")
    assert set(orjson.loads((await run("secrets", "new", "--json")).stdout)) == set(SECRETS)


async def test_database_is_migrated_says_from_where_to_where(
    bare: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    await postgres.create_database("first_hour")
    monkeypatch.setenv("DATABASE_URL", postgres.url("first_hour"))
    done = (await run("migrate")).stdout.splitlines()
    assert re.fullmatch(r"first_hour: migrated from nothing to \d{4} in \d+ steps", done[0])
    assert done[1].startswith("  0001 ")
    again = (await run("migrate")).stdout
    assert re.fullmatch(r"first_hour is at \d{4} already, the newest migration\n", again)
    assert orjson.loads((await run("migrate", "--json")).stdout)["applied"] == []


async def test_database_is_not_migrated_yet_a_command_says_which_to_run_first(
    bare: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    await postgres.create_database("not_yet_migrated")
    monkeypatch.setenv("DATABASE_URL", postgres.url("not_yet_migrated"))
    monkeypatch.setenv("HERMOD_SECRET_KEY", Vault.new_key())
    for arguments in (
        ["tenants", "create", "shop"],
        ["keys", "list", "--tenant", "shop"],
        ["status", "msg_1", "--tenant", "a"],
    ):
        assert "run `hermod migrate`" in (await run(*arguments, code=1)).stderr


async def test_database_was_migrated_by_a_newer_version_says_so(
    bare: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    await postgres.create_database("newer_version")
    url = postgres.url("newer_version")
    monkeypatch.setenv("DATABASE_URL", url)
    await run("migrate")
    database = Database(url)
    await database.execute(text("UPDATE alembic_version SET version_num = '9999'"), {})
    refused = (await run("migrate", code=1)).stderr
    assert "9999" in refused
    assert "newer" in refused
    monkeypatch.setenv("HERMOD_SECRET_KEY", Vault.new_key())
    schema = next(line for line in (await run("doctor", code=1)).stdout.splitlines() if "WRONG schema" in line)
    assert "newer" in schema
    await database.close()


async def test_database_is_missing_or_away_migrating_says_what_to_do(
    bare: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "DATABASE_URL is not set" in (await run("migrate", code=2)).stderr
    wrong = {
        f"postgresql://nobody:secret@{LOOPBACK}:{free_port()}/nowhere": "DATABASE_URL",
        postgres.url("no_such_database"): "no_such_database",
        "postgresql://nobody:secret@nowhere.invalid/nowhere": "nowhere.invalid",
    }
    for url, word in wrong.items():
        monkeypatch.setenv("DATABASE_URL", url)
        said = (await run("migrate", code=1)).stderr
        assert word in said
        assert len(said.splitlines()) == 1, said
        assert "secret" not in said


async def test_alembic_is_run_by_hand_says_as_much(postgres: Postgres) -> None:
    silent = await asyncio.to_thread(python, "-m", "alembic", "upgrade", "head", HOME="/nonexistent")
    assert silent.returncode != 0
    assert "Traceback" not in silent.stderr
    assert "DATABASE_URL is not set" in silent.stdout + silent.stderr
    await postgres.create_database("by_hand")
    url = postgres.url("by_hand")
    done = await asyncio.to_thread(python, "-m", "alembic", "upgrade", "head", DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    assert "0001" in done.stdout
    again = await asyncio.to_thread(python, "-m", "alembic", "upgrade", "head", DATABASE_URL=url)
    assert "already" in again.stdout


async def test_worker_has_several_processes_and_no_clickhouse_says_that_they_need_one(bare: Path) -> None:
    """The engine inside a process belongs to one of them; the others' rounds of events would fail for ever."""
    settings = {"DATABASE_URL": "postgresql://a:b@localhost/c", "HERMOD_SECRET_KEY": Vault.new_key()}
    ended = await asyncio.to_thread(python, "worker.py", "--processes", "2", **settings)
    assert ended.returncode == 2
    assert "CLICKHOUSE_URL" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr


async def test_worker_has_more_processes_than_there_are_ports_says_so(bare: Path) -> None:
    settings = {"DATABASE_URL": "postgresql://a:b@localhost/c", "HERMOD_SECRET_KEY": Vault.new_key()}
    settings |= {"CLICKHOUSE_URL": "http://localhost:8123", "HERMOD_WORKER_PORT": "65535"}
    ended = await asyncio.to_thread(python, "worker.py", "--processes", "2", **settings)
    assert (ended.returncode, ended.stderr) == (2, "HERMOD_WORKER_PORT=65535: 2 processes need as many ports\n")


async def test_second_worker_on_one_host_names_the_port_and_the_variable(cli: Cli) -> None:
    core = cli.hermod.core
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        settings = core.settings.model_copy(update={"worker_port": port})
        with pytest.raises(PortTaken, match=f"port {port} is in use; set HERMOD_WORKER_PORT to another, or to 0"):
            async with serve_health(settings, core.storage, core.analytics, core.temporal, core.clock):
                pytest.fail("the port was taken")
