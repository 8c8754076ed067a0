"""How a process of ours is set up and told to stop, and several of them looked after."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from hermod.settings import child_environment
from hermod.telemetry import get_logger

RESTART_WAIT: Final = 1.0
WANTED_FILES: Final = (65_536, 10_240)
"""The second is what macOS surely gives, which names no limit and has one."""
FEW_FILES: Final = 4_096
"""With fewer, a worker may run out of connections: each receiver that it talks to keeps some open for a while."""
_log = get_logger(__name__)


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def tune_gc() -> None:
    """Let the garbage collector pass by what was loaded at the start, and look less often at what comes and goes.

    A busy worker makes many objects and few cycles; with Python's defaults the collector takes a fifth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def raise_file_limit() -> None:
    """Let this process have as many open files, that is connections, as it may, up to `WANTED_FILES`.

    Many systems begin with 1,024, for the sake of programs that use `select`, and let a process have far more.
    """
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in WANTED_FILES:
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            break
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft != resource.RLIM_INFINITY and soft < FEW_FILES:
        _log.warning("few_open_files", limit=soft, advice="raise the hard limit: ulimit -Hn, LimitNOFILE=, ulimits:")


async def supervise(count: int, arguments: Sequence[str], *, port: int) -> int:
    """Run this program `count` times, start again what dies, and pass the end on. 0 when all ended well.

    `port` is HERMOD_WORKER_PORT of the first; the others have those after it.
    """
    stop = stop_on_signals()
    program = [sys.executable, sys.argv[0], *_without_processes(arguments)]
    codes = await asyncio.gather(
        *(_keep_alive(program, child_environment(port, number), stop) for number in range(count))
    )
    return max(codes)


async def _keep_alive(program: Sequence[str], environment: Mapping[str, str], stop: asyncio.Event) -> int:
    while True:
        child = await asyncio.create_subprocess_exec(*program, env=environment)
        ended, stopped = asyncio.create_task(child.wait()), asyncio.create_task(stop.wait())
        await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            if child.returncode is None:
                child.terminate()
            return abs(await ended)
        stopped.cancel()
        _log.error("worker_process_died", port=environment["HERMOD_WORKER_PORT"], code=child.returncode)
        await asyncio.sleep(RESTART_WAIT)


def _without_processes(arguments: Sequence[str]) -> list[str]:
    """The same arguments for a child, less `--processes N`."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip or argument == "--processes" or argument.startswith("--processes="):
            skip = argument == "--processes"
        else:
            kept.append(argument)
    return kept
