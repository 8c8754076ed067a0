"""The addresses of names, asked of the system on threads of our own.

The event loop's resolver has as few as four threads (uvloop) that the whole process shares: a handful of names whose
servers do not answer would stop every other lookup, the database's included.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]
"""An address to connect to, as `socket.getaddrinfo` gives it."""

REMEMBERED: Final = 5.0
"""Seconds for which an answer is used again: many connections to one host are opened in one moment."""
_THREADS: Final = 64
_LONGEST: Final = 10.0
"""Seconds. A lookup that waits for a thread longer than this is not begun any more."""
_MOST: Final = 1000
"""Names that are remembered."""


class Names(Protocol):
    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """The addresses of a name, or of an address that is spelled out; there may be none. Raises OSError."""
        ...


class SystemNames:
    """The system's resolver. A thread is only started when it is needed."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="names")
        self._known: dict[tuple[str, int], tuple[float, Sequence[AddressInfo]]] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[Sequence[AddressInfo]]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """Who asks for the same name in the same moment shares the lookup."""
        key, loop = (host, port), asyncio.get_running_loop()
        until, answers = self._known.get(key, (0.0, ()))
        if until > loop.time():
            return answers
        lookup = self._asked.get(key)
        if lookup is None:
            lookup = self._asked[key] = loop.create_task(self._looked_up(host, port))
            lookup.add_done_callback(partial(self._note, key, loop.time() + REMEMBERED))
        return await asyncio.shield(lookup)

    async def aclose(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _note(self, key: tuple[str, int], until: float, lookup: asyncio.Task[Sequence[AddressInfo]]) -> None:
        self._asked.pop(key, None)
        if lookup.cancelled() or lookup.exception() is not None:
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = (until, lookup.result())

    async def _looked_up(self, host: str, port: int) -> Sequence[AddressInfo]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_LONGEST):
                return await loop.run_in_executor(self._threads, _look_up, host, port)
        except TimeoutError:
            raise OSError(f"the servers of {host} do not answer") from None
        except UnicodeError:
            raise OSError(f"{host} is not a name") from None


def _look_up(host: str, port: int) -> list[AddressInfo]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    # A Python built without IPv6 gives the packed address as its first part, which is no address to dial.
    return [entry for entry in found if isinstance(entry[4][0], str)]  # type: ignore[misc]
