"""Opens a TCP connection to a host whose addresses were checked: for protocols that are not HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from hermod.outbound.addresses.guard import AddressGuard


async def dial(host: str, port: int, guard: AddressGuard, *, patience: float) -> socket.socket:
    """A connected, non-blocking socket to the first address of `host` that answers within `patience` seconds.

    Each address but the last gets an equal share of the time, so that one that swallows packets does not use up
    the patience for all. Raises OSError (AddressRefused for an address that is off limits, TimeoutError).
    """
    guard.check_host(host)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(patience):
        answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        guard.check_answers(host, (str(address[0]) for *_, address in answers))
        failure: OSError = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in answers:
            connection = socket.socket(family, kind, protocol)
            connection.setblocking(False)
            try:
                async with asyncio.timeout(patience / len(answers)):
                    await loop.sock_connect(connection, address)
            except OSError as error:
                connection.close()
                failure = error
            except BaseException:
                connection.close()
                raise
            else:
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
        raise failure
