"""Servers of the dev stack that end by themselves: started again, ever more seldom, and given up where they cannot."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from devstack.servers import keeping
from devstack.servers.keeping import FIRST_PAUSE, LONGEST_PAUSE, QUIET_SECONDS, TRIES, Pauses, keep_running
from devstack.servers.process import Child, ChildFailed, Program


class Server:
    """A program that ends at once; from start number `fails_from` on it cannot start."""

    def __init__(self, folder: Path, fails_from: int) -> None:
        self._program = Program(name="Example", command=[sys.executable, "-c", ""], log=folder / "example.log")
        self._fails_from = fails_from
        self.starts = 0

    @property
    def child(self) -> Child:
        return self._child

    async def start(self) -> None:
        self.starts += 1
        self._child = Child.spawn(self._program)
        if self.starts >= self._fails_from:
            await self._child.until_exit()
            raise ChildFailed(self._program, "ended with exit code 1 while it started")

    async def stop(self, *, within: float) -> None:
        await self._child.stop(within=within)


def test_pauses_grow_to_a_limit_and_are_short_again_after_a_quiet_while() -> None:
    pauses = Pauses()
    waits = [pauses.after(1.0) for _ in range(12)]
    assert waits[:3] == [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]
    assert waits[-1] == LONGEST_PAUSE
    assert [pauses.after(QUIET_SECONDS), pauses.after(1.0)] == [FIRST_PAUSE, FIRST_PAUSE * 2]


async def test_server_that_ends_is_started_until_it_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(keeping, "FIRST_PAUSE", 0.01)
    told: list[str] = []
    server = Server(tmp_path, fails_from=4)
    await server.start()
    with pytest.raises(ChildFailed, match=r"Example ended with exit code 1 while it started"):
        await asyncio.wait_for(keep_running(server, told.append), 30)
    assert server.starts == 3 + TRIES
    assert [line.split(",")[0].split(";")[0] for line in told] == [
        "Example ended with exit code 0",
        "Example runs again",
        "Example ended with exit code 0",
        "Example runs again",
        "Example ended with exit code 0",
    ]
