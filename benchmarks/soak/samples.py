"""What the processes take up, every few seconds: memory, files, threads, time of the processor, connections, rows."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import psutil
from sqlalchemy import text
from temporalio.client import Client

from starter import Hermod

EVERY: Final = 10.0
MIB: Final = 1024**2
_DATABASE: Final = text("""
    SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections,
           (SELECT sum(n_tup_ins) FROM pg_stat_user_tables) AS rows,
           pg_database_size(current_database()) AS size
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One server, its child processes included. Memory that they share is counted once."""

    mib: float
    files: int
    threads: int
    cpu: float
    """Seconds of the processor so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    second: float
    """Since the start of the load."""
    servers: Mapping[str, Usage]
    ours: float
    """Seconds of the processor that the whole run has had so far, the load and the sandbox included."""
    machine: float
    """How busy the whole machine was since the sample before, from 0 to 1."""
    connections: int
    rows: int
    """Inserted so far."""
    database_mib: float
    workflows: int
    """Open ones."""


@dataclass(slots=True)
class Sampler:
    """`pids` by the servers' names; `beside` are processes that only their time is taken of."""

    pids: Mapping[str, int]
    beside: Sequence[int]
    hermod: Hermod
    temporal: Client
    samples: list[Sample] = field(default_factory=list)

    async def run(self) -> None:
        """Until cancelled."""
        begun = time.monotonic()
        psutil.cpu_percent()
        while True:
            await self.take(time.monotonic() - begun)
            await asyncio.sleep(EVERY)

    async def take(self, second: float) -> None:
        row = (await self.hermod.core.storage.database.rows(_DATABASE, {}))[0]
        servers = {name: usage(pid) for name, pid in self.pids.items()}
        self.samples.append(
            Sample(
                second=second,
                servers=servers,
                ours=sum(one.cpu for one in servers.values()) + sum(map(_seconds, self.beside)),
                machine=psutil.cpu_percent() / 100,
                connections=row.connections,
                rows=int(row.rows or 0),
                database_mib=row.size / MIB,
                workflows=(await self.temporal.count_workflows("ExecutionStatus = 'Running'")).count,
            )
        )


def usage(pid: int) -> Usage:
    """What a process and its children take up; nothing of what has ended."""
    memory = files = threads = 0
    cpu = 0.0
    main = psutil.Process(pid)
    for process in (main, *main.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            memory += _memory(process)
            files += process.num_fds()
            threads += process.num_threads()
            cpu += _seconds(process.pid)
    return Usage(mib=memory / MIB, files=files, threads=threads, cpu=cpu)


def _seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _memory(process: psutil.Process) -> int:
    """Its share of what it has in memory, where the system tells; else all of it."""
    with contextlib.suppress(psutil.AccessDenied, AttributeError):
        return int(process.memory_full_info().pss)
    return int(process.memory_info().rss)
