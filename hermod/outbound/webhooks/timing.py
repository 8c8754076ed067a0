"""Where the time of one webhook request goes.

aiohttp says when a connection is asked for and when it is there, but not what lies between: the name, the TCP
handshake, the TLS handshake. Those two ends are seen from the socket that is made and from the TLS object that begins
its handshake; both are in the request's own context, where `CURRENT` finds its clock.
"""

from __future__ import annotations

import ssl
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Final

from aiohttp import ClientSession, TraceConfig

from hermod.contracts.webhooks.deliveries import Phases
from hermod.outbound.addresses.guard import is_literal

WAITING: Final = "waiting"
DNS: Final = "dns"
CONNECT: Final = "connect"
TLS: Final = "tls"
SENDING: Final = "sending"
FIRST_BYTE: Final = "first_byte"
BODY: Final = "body"
_ORDER: Final = (WAITING, DNS, CONNECT, TLS, SENDING, FIRST_BYTE, BODY)


@dataclass(slots=True)
class Timing:
    """The clock of one request. Each phase lasts until the next one that was reached, the last one until the end."""

    host: str = ""
    address: str | None = None
    """The address that was dialled last, or that of the connection that was used again."""
    _started: float = field(default_factory=time.perf_counter)
    _begun: dict[str, float] = field(default_factory=dict)

    def begin(self, phase: str) -> None:
        self._begun.setdefault(phase, time.perf_counter())

    @property
    def stage(self) -> str:
        """The phase that was reached last."""
        return next((phase for phase in reversed(_ORDER) if phase in self._begun), WAITING)

    def milliseconds(self) -> int:
        return round((time.perf_counter() - self._started) * 1000)

    def phases(self) -> Phases:
        marks = [(phase, self._begun[phase]) for phase in _ORDER if phase in self._begun]
        limits = pairwise((*marks, ("", time.perf_counter())))
        took = {phase: _milliseconds(end - begun) for (phase, begun), (_, end) in limits}
        return Phases(
            dns=None if is_literal(self.host) else took.get(DNS),
            connect=took.get(CONNECT),
            tls=took.get(TLS),
            first_byte=took.get(FIRST_BYTE),
            body=took.get(BODY),
        )


CURRENT: ContextVar[Timing | None] = ContextVar("webhook_timing", default=None)


class ObservedTls(ssl.SSLObject):
    """A TLS connection that says when its handshake begins."""

    def do_handshake(self) -> None:
        begin(TLS)
        super().do_handshake()


def begin(phase: str) -> None:
    """The request of this context has come to `phase`. Once said, it stays."""
    timing = CURRENT.get()
    if timing is not None:
        timing.begin(phase)


def trace() -> TraceConfig:
    """What aiohttp itself reports."""
    config = TraceConfig()

    async def looking_up(_session: ClientSession, _context: SimpleNamespace, _: Any) -> None:
        begin(DNS)

    async def connected(_session: ClientSession, _context: SimpleNamespace, _: Any) -> None:
        begin(SENDING)

    async def sent(_session: ClientSession, _context: SimpleNamespace, _: Any) -> None:
        begin(FIRST_BYTE)

    config.on_connection_create_start.append(looking_up)
    config.on_connection_create_end.append(connected)
    config.on_request_chunk_sent.append(sent)
    return config


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)
