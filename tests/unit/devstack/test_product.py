"""Web and worker of `make run`: one that ends is started again, one that cannot begin ends the run and says why."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest

import devstack.product
from devstack.errors import StackError
from devstack.product import Product
from devstack.servers import keeping
from hermod.settings import Settings
from starter import Hermod


class Served:
    """A worker that ends as it is told each time, and goes on until it is stopped when there is no end left."""

    def __init__(self, *ends: Exception | None) -> None:
        self.starts = 0
        self.goes_on = asyncio.Event()
        self._ends = list(ends)

    async def __call__(self, settings: Settings, stop: asyncio.Event, *, drain: timedelta) -> None:
        self.starts += 1
        if not self._ends:
            self.goes_on.set()
            await stop.wait()
            return
        end = self._ends.pop(0)
        if end is not None:
            raise end


def product(monkeypatch: pytest.MonkeyPatch, served: Served, told: list[str]) -> Product:
    monkeypatch.setattr("devstack.product.worker.serve", served)
    nothing: Any = None
    return Product(cast("Settings", nothing), cast("Hermod", nothing), told.append)


async def test_worker_that_ends_is_started_again_and_the_terminal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devstack.product, "_BEGUN_SECONDS", 0.0)
    monkeypatch.setattr(keeping, "FIRST_PAUSE", 0.0)
    served, told = Served(RuntimeError("its lock is gone"), None), list[str]()
    running = product(monkeypatch, served, told)
    running.start_worker()
    watching = asyncio.create_task(running.watch())
    await asyncio.wait_for(served.goes_on.wait(), 10)
    assert served.starts == 3
    assert told == [
        "the worker ended (its lock is gone); it is started again in 0.0 s.",
        "the worker ended (nobody asked it to); it is started again in 0.0 s.",
    ]
    assert not watching.done()
    watching.cancel()
    await running.stop()
    assert served.starts == 3


async def test_worker_that_cannot_begin_ends_the_run_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served(RuntimeError("port 9090 is taken"))
    running = product(monkeypatch, served, [])
    running.start_worker()
    with pytest.raises(StackError, match="the worker ended: port 9090 is taken"):
        await running.watch()
    assert served.starts == 1
