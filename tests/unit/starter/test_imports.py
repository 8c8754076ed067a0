"""What is imported late: starting a program that asks little does not pay for what it does not use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import starter
from starter.cli.app import app
from tests.support.processes import REPOSITORY

SERVERS_AND_PROVIDERS = {
    *("sqlalchemy", "alembic", "asyncpg", "temporalio", "aiohttp", "httpx", "fastapi", "clickhouse_connect"),
    *("hermod.bootstrap", "hermod.storage", "hermod.channels", "hermod.settings", "starter.client", "workflows"),
}
"""Nobody needs them who names a message or checks a signature."""
MODELS = {
    "pydantic",
    "pydantic_core",
    "cryptography",
    "orjson",
    "structlog",
    "prometheus_client",
    "starter.cli.session",
}


def loaded_by(program: str, *arguments: str) -> set[str]:
    """The modules that a process has loaded at the end of this program."""
    told = "import atexit, sys\natexit.register(lambda: print('\\n' + repr(sorted(sys.modules)), file=sys.stderr))\n"
    ended = subprocess.run(
        [sys.executable, "-c", told + program, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return set(ast.literal_eval(ended.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "program",
    [
        "import starter",
        "from starter import Email, InvalidInput, Sms",
        "from starter import InvalidSignature, verify_webhook",
    ],
)
def test_application_imports_what_it_needs_no_server_or_provider_comes_along(program: str) -> None:
    assert loaded_by(program) & SERVERS_AND_PROVIDERS == set()


def test_name_is_imported_late_it_is_the_one_of_its_module() -> None:
    assert set(starter.__all__) <= set(dir(starter))
    assert [getattr(starter, name).__name__ for name in starter.__all__] == starter.__all__
    with pytest.raises(ImportError, match="nothing_like_it"):
        from starter import nothing_like_it  # type: ignore[attr-defined]  # noqa: F401


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["-h"], []])
def test_command_line_is_asked_what_it_is_imports_no_command(arguments: list[str]) -> None:
    """As installed, by way of `starter.__main__`, which leaves past the interpreter's own end."""
    program = f"""
import os, starter.__main__ as it
def told(code):
    print(repr(sorted(sys.modules)), file=sys.stderr, flush=True)
    real(0)
real, os._exit, sys.argv = os._exit, told, ["hermod", *{arguments!r}]
it.main()
"""
    assert loaded_by(program) & (SERVERS_AND_PROVIDERS | MODELS) == set()


def test_commands_are_listed_each_has_the_first_line_of_its_own_help() -> None:
    root = get_command(app)
    shown = root.summaries  # type: ignore[attr-defined]
    real = {name: (found.help or "").splitlines()[0] for name, found in root.commands.items()}  # type: ignore[attr-defined]
    assert shown == real


def test_command_is_in_the_table_its_module_is_there() -> None:
    commands = Path(REPOSITORY, "starter", "cli")
    names = {".".join(path.relative_to(commands).with_suffix("").parts) for path in commands.rglob("*.py")}
    assert {home.partition(":")[0] for home, _ in get_command(app).table.values()} <= names  # type: ignore[attr-defined]
