"""What has started is kept running: a server that ends by itself is started again, on its port and with its data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, NoReturn, Protocol

from devstack.errors import StackError
from devstack.servers.process import Child
from hermod.telemetry import get_logger

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 30.0
QUIET_SECONDS: Final = 60.0
"""Who has run for so long begins with the first pause again."""
TRIES: Final = 4
"""Starts in a row that may fail; who fails this often cannot start."""

_log = get_logger(__name__)


class Server(Protocol):
    """An embedded server. `start` may be called again once its child has ended."""

    @property
    def child(self) -> Child: ...

    async def start(self) -> None: ...

    async def stop(self, *, within: float) -> None: ...


class Pauses:
    """How long to wait before each further start, in seconds."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def after(self, ran_for: float) -> float:
        """`ran_for`: seconds from the last start to the end."""
        pause = FIRST_PAUSE if ran_for >= QUIET_SECONDS else self._next
        self._next = min(pause * 2, LONGEST_PAUSE)
        return pause


async def keep_running(server: Server, tell: Callable[[str], None]) -> NoReturn:
    """Start the server again whenever it ends. Raises StackError where it cannot start, never returns.

    `tell` gets a line for the person at the terminal.
    """
    pauses = Pauses()
    while True:
        begun = time.monotonic()
        ending = await server.child.until_ended()
        program = server.child.program
        pause = pauses.after(time.monotonic() - begun)
        tell(f"{program.name} {ending}; it is started again in {pause:.1f} s.")
        _log.error("server_ended", server=program.name, ending=ending, again_in_seconds=pause, log=str(program.log))
        await asyncio.sleep(pause)
        begun = time.monotonic()
        await _start(server, pauses)
        tell(f"{program.name} runs again, after {time.monotonic() - begun:.1f} s.")
        _log.info("server_runs_again", server=program.name)


async def _start(server: Server, pauses: Pauses) -> None:
    for attempt in range(1, TRIES + 1):
        begun = time.monotonic()
        try:
            await server.start()
            return
        except StackError as failure:
            if attempt == TRIES:
                raise
            _log.warning("server_not_started", attempt=attempt, error=str(failure))
        await asyncio.sleep(pauses.after(time.monotonic() - begun))
