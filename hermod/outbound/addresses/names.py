"""Resolves the names of receivers on threads of its own.

The event loop's resolver has as few as four threads (uvloop) that the whole process shares: a handful of names whose
servers do not answer would stop every other lookup, the database's included.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

_THREADS: Final = 64
_LONGEST: Final = 10.0
"""Seconds. A lookup that waits for a thread longer than this is not begun any more."""


class ReceiverNames(AbstractResolver):
    """The system's resolver. A thread is only started when it is needed."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError where the name does not resolve, or not in time."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_LONGEST):
                answers = await loop.run_in_executor(self._threads, _look_up, host, port, family)
        except TimeoutError:
            raise OSError(f"the servers of {host} do not answer") from None
        except UnicodeError:
            raise OSError(f"{host} is not a name") from None
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in answers
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(
    host: str, port: int, family: socket.AddressFamily
) -> list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]]:
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    # A Python built without IPv6 gives the packed address as its first part, which is no address to dial.
    return [entry for entry in found if isinstance(entry[4][0], str)]  # type: ignore[misc]
