"""A child process of the dev stack: started apart from our terminal, watched, and never left behind.

Each child has a session of its own, so that Ctrl-C reaches us alone and we decide the order of the end. On Linux the
kernel ends it when our main thread ends, however that happens; elsewhere its pid file lets the next start find it.
Children must be spawned from the main thread: Linux ties the death signal to the thread, not to the process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

from devstack.errors import StackError
from devstack.servers import launch
from devstack.servers.logs import open_new

_POLL = 0.02
_FREEZE_SECONDS = 5.0
_TAIL_BYTES = 16_384
_KEPT_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR")


class Account(NamedTuple):
    """A user of this machine whom a child runs as."""

    name: str
    uid: int
    gid: int


def plain_environment() -> dict[str, str]:
    """What a server from outside gets of our environment: nothing that could configure it (`PG…`, `TEMPORAL_…`)."""
    return {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}


def whole_environment() -> dict[str, str]:
    """For a program of our own."""
    return dict(os.environ)


def handed_over(name: str) -> str:
    """What the parent put into the environment of this process for it alone; empty where there is nothing."""
    return os.environ.pop(name, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run, and how it wants to be stopped."""

    name: str
    """As the user reads it: `PostgreSQL`."""
    command: Sequence[str]
    """Program (an absolute path) and arguments; no shell is involved."""
    log: Path
    """Both outputs are appended here. The log of the run before is kept as `<log>.1`."""
    pid_file: Path | None = None
    cwd: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=plain_environment)
    account: Account | None = None
    """Only root can run a child as somebody else."""
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends the child when we die."""


class ChildFailed(StackError):
    """A child ended, or did not become ready. The text carries the last lines of its log."""

    def __init__(self, program: Program, what: str) -> None:
        self.program = program
        self.last_lines = last_lines(program.log)
        said = "\n".join(f"  {line}" for line in self.last_lines) or "  (nothing)"
        super().__init__(f"{program.name} {what}. The end of {program.log}:\n{said}")


class Child:
    """A running program. Made by `spawn`; belongs to no event loop."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes]) -> None:
        self.program = program
        self._process = process
        self._frozen: list[psutil.Process] = []

    @classmethod
    def spawn(cls, program: Program) -> Child:
        account = program.account
        rules = [os.getpid(), int(program.death_signal), account.uid if account else -1, account.gid if account else -1]
        with open(open_new(program.log), "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", launch.__file__, *map(str, rules), *program.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=program.cwd,
                env=dict(program.environment),
                start_new_session=True,
            )
        if program.pid_file:
            program.pid_file.parent.mkdir(parents=True, exist_ok=True)
            program.pid_file.write_text(f"{process.pid}\n")
        return cls(program, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    async def until_ready(self, probe: Callable[[], Awaitable[bool]], *, within: float) -> None:
        """Ask `probe` again and again until it says True.

        Raises ChildFailed if the child ends first or `within` seconds pass; the child is stopped then.
        """
        deadline = time.monotonic() + within
        try:
            while not await _answer(probe, deadline):
                if (code := self.exit_code) is not None:
                    raise ChildFailed(self.program, f"{_ending(code)} while it started")
                if time.monotonic() > deadline:
                    raise ChildFailed(self.program, f"was not ready within {within:.0f} s")
                await asyncio.sleep(_POLL)
        except BaseException:
            await self.stop(within=1)
            raise

    async def until_exit(self) -> int:
        """Wait for the child's end, which is not an error here; gives its exit code."""
        while True:
            if (code := self.exit_code) is not None:
                return code
            await asyncio.sleep(_POLL)

    async def until_ended(self) -> str:
        """Wait for the child's end; says how it came: `was ended by SIGKILL`."""
        return _ending(await self.until_exit())

    async def stop(self, *, within: float) -> None:
        """Ask the child to stop; after `within` seconds end it and its process group. Fine to call twice, or frozen."""
        self.thaw()
        if self.exit_code is None:
            self._process.send_signal(self.program.stop_signal)
            try:
                await asyncio.wait_for(self.until_exit(), within)
            except TimeoutError:
                self.kill()
                await self.until_exit()
        if self.program.pid_file:
            self.program.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the child and its process group at once."""
        if self.exit_code is None:
            os.killpg(self.pid, signal.SIGKILL)
        self.thaw()  # descendants in other groups notice the end only when they run

    def freeze(self) -> None:
        """Halt the child and all its descendants by SIGSTOP, in whichever process groups they are.

        All stand still when it returns. Raises StackError if one does not within some seconds.
        """
        deadline = time.monotonic() + _FREEZE_SECONDS
        while running := [process for process in self._family() if not _stands_still(process)]:
            if time.monotonic() > deadline:
                self.thaw()
                raise StackError(f"{self.program.name} cannot be frozen")
            self._frozen += [process for process in running if process not in self._frozen]
            for process in running:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()

    def thaw(self) -> None:
        """Let everybody go on whom `freeze` has halted; fine if nobody is."""
        for process in reversed(self._frozen):
            with suppress(psutil.NoSuchProcess):
                process.resume()
        self._frozen.clear()

    def _family(self) -> list[psutil.Process]:
        """The child first, so that it starts nobody new while the others are halted."""
        try:
            child = psutil.Process(self.pid)
            return [child, *child.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _stands_still(process: psutil.Process) -> bool:
    try:
        return process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return True


async def _answer(probe: Callable[[], Awaitable[bool]], deadline: float) -> bool:
    try:
        return await asyncio.wait_for(probe(), max(0.1, deadline - time.monotonic()))
    except TimeoutError:
        return False


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def last_lines(log: Path, count: int = 15) -> list[str]:
    """The end of a log file, empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []


async def end_leftover(pid_file: Path, *, marked: Path, within: float = 5.0) -> int | None:
    """End the child that a killed run left behind; gives its pid, or None if there was nothing to end.

    Its number may belong to somebody else by now, so only a process whose command line names the folder `marked`
    is touched.
    """
    process = _leftover(pid_file, marked)
    if process:
        await end_process(process, signal.SIGTERM, within=within)
    pid_file.unlink(missing_ok=True)
    return process.pid if process else None


def _leftover(pid_file: Path, marked: Path) -> psutil.Process | None:
    try:
        process = psutil.Process(int(pid_file.read_text()))
        return process if any(_is_within(argument, marked) for argument in process.cmdline()) else None
    except (OSError, ValueError, psutil.Error):
        return None


def _is_within(argument: str, folder: Path) -> bool:
    return argument == str(folder) or argument.startswith(f"{folder}{os.sep}")


async def end_process(process: psutil.Process, gently: signal.Signals, *, within: float) -> None:
    """End a process that is not our child: `gently` first, after `within` seconds by SIGKILL. Gone already is fine."""
    for ending in (gently, signal.SIGKILL):
        try:
            process.send_signal(ending)
        except psutil.NoSuchProcess:
            return
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return
            await asyncio.sleep(_POLL)
