"""The data folder: one stack at a time, secrets made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devstack.data_dir import hold, write_private
from devstack.errors import StackError
from tests.support.polling import eventually
from tests.support.processes import line, python

_HOLD = """
import sys, time
from pathlib import Path
from devstack.data_dir import hold
with hold(Path(sys.argv[1]), url="http://127.0.0.1:8080"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_hold_when_another_stack_runs_says_which_and_where(home: Path) -> None:
    with python("-c", _HOLD, home) as other:
        assert line(other) == "held"
        with pytest.raises(StackError) as refusal, hold(home, url="http://127.0.0.1:9999"):
            pass
    assert f"already running on {home}: process {other.pid}, at http://127.0.0.1:8080" in str(refusal.value)
    assert f"kill {other.pid}" in str(refusal.value)


async def test_hold_when_the_holder_was_killed_succeeds(home: Path) -> None:
    with python("-c", _HOLD, home) as other:
        assert line(other) == "held"
        other.kill()

    def held_here() -> bool:
        with hold(home, url="http://127.0.0.1:9999"):
            return f'"pid": {os.getpid()}' in (home / "lock").read_text()

    await eventually(held_here)


def test_hold_when_the_folder_cannot_be_made_says_so(home: Path) -> None:
    (home / "file").touch()
    with (
        pytest.raises(StackError, match=r"cannot write to the data folder .*Set HERMOD_DATA_DIR"),
        hold(home / "file" / "data", url=""),
    ):
        pass


def test_secrets_are_made_once_and_private(home: Path) -> None:
    with hold(home, url="") as data_dir:
        made = data_dir.secrets()
    with hold(home, url="") as data_dir:
        assert data_dir.secrets() == made
    assert set(made) == {
        "HERMOD_SECRET_KEY",
        "HERMOD_JWT_SECRET",
        "HERMOD_API_KEY",
        "HERMOD_DEV_CLICKHOUSE_PASSWORD",
    }
    assert (home / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_secrets_when_some_are_missing_keeps_the_others(home: Path) -> None:
    with hold(home, url="") as data_dir:
        write_private(home / "secrets.json", {"HERMOD_SECRET_KEY": "kept", "OWN": "mine"})
        made = data_dir.secrets()
        assert made["HERMOD_SECRET_KEY"] == "kept"
        assert made["OWN"] == "mine"
        assert made["HERMOD_JWT_SECRET"]


def test_secrets_when_the_file_is_broken_are_not_replaced(home: Path) -> None:
    (home / "secrets.json").write_text('{"HERMOD_SECRET_KEY": "half a li')
    with hold(home, url="") as data_dir, pytest.raises(StackError, match=r"secrets\.json cannot be read"):
        data_dir.secrets()
    assert (home / "secrets.json").read_text().endswith("half a li")
