"""Opens TCP connections to hosts whose addresses were checked: every connection to the outside begins here."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import aiohappyeyeballs

from hermod.outbound.addresses.guard import AddressGuard, is_literal
from hermod.outbound.addresses.names import AddressInfo, Names, SystemNames

NEXT_AFTER: Final = 0.25
"""Seconds after which the next address of a host is tried beside one that has not answered (RFC 8305, section 8)."""


@lru_cache(maxsize=1)
def system_names() -> SystemNames:
    """The names of this process."""
    return SystemNames()


async def dial(host: str, port: int, guard: AddressGuard, *, patience: float) -> socket.socket:
    """A connected, non-blocking socket to the first address of `host` that answers within `patience` seconds.

    Raises OSError (AddressRefused and NameRefused for what is off limits, TimeoutError).
    """
    async with asyncio.timeout(patience):
        return await connected(await resolved(host, port, guard, system_names()))


async def resolved(host: str, port: int, guard: AddressGuard, names: Names) -> Sequence[AddressInfo]:
    """The addresses of a host, all of which may be dialled.

    Raises OSError where there is none, and AddressRefused or NameRefused where one is off limits.
    """
    guard.check_host(host)
    if is_literal(host):
        return [_spelled_out(host, port)]
    answers = await names.resolve(host, port)
    if not answers:
        raise OSError(f"{host} has no address")
    guard.check_answers(host, (address[0] for *_, address in answers))
    return answers


async def connected(answers: Sequence[AddressInfo]) -> socket.socket:
    """A socket to the first of these addresses that answers. Raises OSError."""
    connection = await aiohappyeyeballs.start_connection(answers, happy_eyeballs_delay=NEXT_AFTER, interleave=1)
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _spelled_out(address: str, port: int) -> AddressInfo:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
