"""Web and worker as tasks of this event loop, ended side by side."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import worker
from devstack.errors import StackError
from devstack.servers.keeping import Pauses
from devstack.servers.logs import OwnLog
from hermod.settings import Settings
from hermod.telemetry import configure_logging, fault, get_logger
from starter import Hermod
from web.app import create_app
from web.http.server import GRACE, serve

_DRAIN: Final = timedelta(seconds=8)
"""For requests under way at the end. A worker of its own takes as long as providers may (HERMOD_DRAIN_SECONDS); who has
pressed Ctrl-C does not wait for that."""
_DRAIN_SECONDS: Final = max(_DRAIN.total_seconds(), GRACE) + 1.5
"""What still runs then is left to be done again by the next start."""
_BEGUN_SECONDS: Final = 10.0
"""What ends sooner could not begin."""
_POLL: Final = 0.1

_log = get_logger(__name__)


@dataclass(slots=True)
class Product:
    """What runs of the product. Parts are started one by one and ended all at once."""

    settings: Settings
    hermod: Hermod
    """The client that the web answers with."""
    tell: Callable[[str], None]
    """Gets a line for the person at the terminal."""
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _parts: list[asyncio.Task[None]] = field(default_factory=list)

    def start_worker(self) -> None:
        """A worker for all lanes. It connects, registers search attributes and schedules, and begins."""
        self._start("the worker", lambda: worker.serve(self.settings, self._stop, drain=_DRAIN))

    async def start_web(self) -> None:
        """The API and the console. When this returns, the port is open; nothing is answered before the next await."""
        self._start("the web", lambda: serve(create_app(self.settings, hermod=self.hermod), self.settings, self._stop))
        await asyncio.sleep(0)

    async def watch(self) -> None:
        """Wait for a part that cannot go on. Raises StackError, never returns."""
        while True:
            for part in self._parts:
                if part.done():
                    part.result()
                    raise StackError(f"{part.get_name()} ended: nobody asked it to")
            await asyncio.sleep(_POLL)

    async def stop(self) -> None:
        """Let all parts come to an end, for a limited time."""
        self._stop.set()
        if self._parts:
            await asyncio.wait(self._parts, timeout=_DRAIN_SECONDS)

    def _start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._parts.append(asyncio.create_task(self._keep_running(name, work), name=name))

    async def _keep_running(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin the work again whenever it ends before it should. Raises StackError where it cannot begin."""
        pauses = Pauses()
        while True:
            begun, why = time.monotonic(), "nobody asked it to"
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - whatever it was, the product goes on
                why = str(error) or repr(error)
                _log.error("part_ended", part=name, **fault(error))
            if self._stop.is_set():
                return
            ran_for = time.monotonic() - begun
            if ran_for < _BEGUN_SECONDS:
                raise StackError(f"{name} ended: {why}")
            pause = pauses.after(ran_for)
            self.tell(f"{name} ended ({why}); it is started again in {pause:.1f} s.")
            await asyncio.sleep(pause)


def log_to(file: Path, settings: Settings) -> None:
    """The product's own log lines go to a file, so that the terminal stays readable."""
    configure_logging(settings.log_level, settings.log_format)
    terminal, to_file = logging.getLogger().handlers[0], OwnLog(file)
    to_file.setFormatter(terminal.formatter)
    logging.getLogger().handlers[:] = [to_file]
