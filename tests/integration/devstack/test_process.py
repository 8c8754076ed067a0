"""Children of the dev stack: how they start, fail, stop, and what becomes of them when we are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from devstack.servers.process import Child, ChildFailed, Program, end_leftover
from tests.support.polling import eventually
from tests.support.processes import python

_SLEEP = "import time; print('here', flush=True); time.sleep(60)"
_STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"
)
_PARENT = """
import subprocess, sys, time
child = "import time; [(print('child', n, flush=True), time.sleep(0.02)) for n in range(3000)]"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
time.sleep(60)
"""
"""Starts a child in a session of its own, as PostgreSQL does."""


def program(home: Path, script: str, *arguments: str, pid_file: Path | None = None) -> Program:
    command = [sys.executable, "-c", script, *arguments]
    return Program(name="Example", command=command, log=home / "example.log", pid_file=pid_file)


async def says(home: Path, word: str) -> None:
    await eventually(lambda: word in (home / "example.log").read_text())


async def never() -> bool:
    return False


async def test_child_that_ends_while_starting_fails_with_the_end_of_its_log(home: Path) -> None:
    child = Child.spawn(program(home, "print('line one'); print('no space left'); raise SystemExit(3)"))
    with pytest.raises(ChildFailed, match=r"Example ended with exit code 3 while it started") as failure:
        await child.until_ready(never, within=10)
    assert failure.value.last_lines == ["line one", "no space left"]
    assert "no space left" in str(failure.value)


async def test_child_that_is_not_ready_in_time_fails_and_is_stopped(home: Path) -> None:
    child = Child.spawn(program(home, _SLEEP))
    with pytest.raises(ChildFailed, match=r"was not ready within 0 s"):
        await child.until_ready(never, within=0.2)
    assert child.exit_code == -signal.SIGTERM


async def test_child_whose_program_is_missing_says_so(home: Path) -> None:
    child = Child.spawn(Program(name="Example", command=["/nowhere/server"], log=home / "example.log"))
    with pytest.raises(ChildFailed, match=r"cannot run /nowhere/server: No such file"):
        await child.until_ready(never, within=10)


async def test_child_when_the_start_is_cancelled_is_stopped(home: Path) -> None:
    child = Child.spawn(program(home, _SLEEP))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(child.until_ready(never, within=60), 0.2)
    assert child.exit_code is not None


async def test_child_that_dies_is_noticed_with_the_signal(home: Path) -> None:
    child = Child.spawn(program(home, _SLEEP))
    await says(home, "here")
    os.kill(child.pid, signal.SIGKILL)
    assert await child.until_ended() == "was ended by SIGKILL"


async def test_stop_ends_a_child_that_ignores_the_signal(home: Path) -> None:
    child = Child.spawn(program(home, _STUBBORN))
    await says(home, "here")
    await child.stop(within=0.2)
    assert child.exit_code == -signal.SIGKILL


async def test_child_gets_no_settings_of_other_servers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/elsewhere")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "elsewhere:7233")
    child = Child.spawn(program(home, "import os; print(sorted(os.environ))"))
    assert await child.until_exit() == 0
    written = (home / "example.log").read_text()
    assert "PATH" in written
    assert "PGDATA" not in written
    assert "TEMPORAL_ADDRESS" not in written


async def test_log_of_the_run_before_is_kept(home: Path) -> None:
    for word in ("first", "second"):
        await Child.spawn(program(home, f"print('{word}')")).until_exit()
    assert (home / "example.log").read_text() == "second\n"
    assert (home / "example.log.1").read_text() == "first\n"


async def test_frozen_child_and_those_it_started_stand_still_until_the_thaw(home: Path) -> None:
    child = Child.spawn(program(home, _PARENT))
    await says(home, "child 3")
    child.freeze()
    family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    assert [process.status() for process in family] == [psutil.STATUS_STOPPED] * 2
    assert os.getpgid(family[1].pid) != os.getpgid(child.pid)
    written = (home / "example.log").read_text()
    child.freeze()
    assert (home / "example.log").read_text() == written
    child.thaw()
    await eventually(lambda: len((home / "example.log").read_text()) > len(written))
    await child.stop(within=5)
    family[1].kill()


@pytest.mark.parametrize("gently", [True, False])
async def test_frozen_child_that_is_ended_leaves_nobody_frozen(home: Path, gently: bool) -> None:
    child = Child.spawn(program(home, _PARENT))
    await says(home, "child 3")
    (started,) = psutil.Process(child.pid).children()
    child.freeze()
    if gently:
        await child.stop(within=5)
    else:
        child.kill()
        await child.until_exit()
    assert child.exit_code == (-signal.SIGTERM if gently else -signal.SIGKILL)
    await eventually(lambda: not started.is_running() or started.status() != psutil.STATUS_STOPPED)
    started.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
async def test_child_when_we_are_killed_ends_too(home: Path) -> None:
    script = f"""
import time
from pathlib import Path
from tests.integration.devstack.test_process import Child, program, _STUBBORN
Child.spawn(program(Path({str(home)!r}), _STUBBORN, pid_file=Path({str(home / "pid")!r})))
time.sleep(60)
"""
    with python("-c", script) as parent:
        await eventually(lambda: (home / "pid").exists() and (home / "pid").read_text())
        await says(home, "here")
        pid = int((home / "pid").read_text())
        assert psutil.pid_exists(pid)
        parent.kill()
    await eventually(lambda: not psutil.pid_exists(pid))


async def test_leftover_of_our_folder_is_ended(home: Path) -> None:
    child = Child.spawn(program(home, _SLEEP, f"{home}/data", pid_file=home / "pid"))
    await says(home, "here")  # as a program that is still being started it has no command line yet
    assert await end_leftover(home / "pid", marked=home) == child.pid
    assert await child.until_exit() == -signal.SIGTERM
    assert not (home / "pid").exists()


async def test_leftover_whose_pid_belongs_to_somebody_else_is_left_alone(home: Path) -> None:
    stranger = Child.spawn(program(home, _SLEEP, f"{home}-of-another/data", pid_file=home / "pid"))
    await says(home, "here")
    assert await end_leftover(home / "pid", marked=home) is None
    assert stranger.exit_code is None
    assert not (home / "pid").exists()
    await stranger.stop(within=5)


@pytest.mark.parametrize("content", ["", "no number", "999999999", "-5"])
async def test_leftover_of_a_useless_pid_file_is_nobody(home: Path, content: str) -> None:
    (home / "pid").write_text(content)
    assert await end_leftover(home / "pid", marked=home) is None
    assert not (home / "pid").exists()
