"""Ports on 127.0.0.1: whether they are free, who has them, and free ones to take.

A port that is free now can be taken a moment later; whoever binds one still has to cope with that.
"""

from __future__ import annotations

import errno
import itertools
import random
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import psutil

from devstack.errors import StackError

LOOPBACK = "127.0.0.1"
_SERVERS: Final = range(10_000, 32_768)
"""Outgoing connections have the ports above these (from 32,768 on Linux, 49,152 elsewhere), thousands at a time."""


@dataclass(frozen=True, slots=True)
class PortUse:
    """A port that the stack wants."""

    port: int
    purpose: str
    """As the user reads it: `Temporal`."""
    variable: str
    """The environment variable that moves it."""


class PortsTaken(StackError):
    """Some ports are in use. The text lists all of them, with their owners and the variables to set."""

    def __init__(self, problems: Sequence[str]) -> None:
        which = "a port is" if len(problems) == 1 else f"{len(problems)} ports are"
        super().__init__("\n".join([f"Cannot start: {which} not free.", *(f"  {line}" for line in problems)]))


def check_ports(wanted: Iterable[PortUse]) -> None:
    """Raises PortsTaken unless every port is free and wanted once."""
    problems: list[str] = []
    uses: dict[int, PortUse] = {}
    for use in wanted:
        first = uses.setdefault(use.port, use)
        if first is not use:
            problems.append(
                f"{use.port} for {use.purpose}: also wanted for {first.purpose}; set {use.variable} to another port"
            )
        elif reason := _why_not(use.port):
            problems.append(f"{use.port} for {use.purpose}: {reason}; set {use.variable} to another port")
    if problems:
        raise PortsTaken(problems)


def _why_not(port: int) -> str | None:
    """Why we cannot listen on this port, or None if we can."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as reason:
            if reason.errno == errno.EADDRINUSE:
                return f"taken by {_owner(port) or 'another process'}"
            return str(reason.strerror).lower()
    return None


def _owner(port: int) -> str | None:
    """`nginx (pid 123: nginx -g daemon)` for who listens on this port; None where this user may not know."""
    try:
        listeners = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for listener in listeners:
        if listener.status == psutil.CONN_LISTEN and listener.laddr and listener.laddr.port == port and listener.pid:
            return _describe(listener.pid)
    return None


def _describe(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        command = " ".join(" ".join(process.cmdline()).split())
        shown = command if len(command) <= 80 else command[:79] + "…"
        return f"{process.name()} (pid {pid}: {shown})"
    except psutil.Error:
        return f"pid {pid}"


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody has, and that no outgoing connection is given before they are taken."""
    return list(itertools.islice(filter(_is_free, random.sample(_SERVERS, len(_SERVERS))), count))


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    return free_ports(1)[0]
