"""Ports: one message that names everything in the way."""

from __future__ import annotations

import os
import socket

import pytest

from devstack.servers.ports import LOOPBACK, PortsTaken, PortUse, check_ports, free_port, free_ports


def test_ports_when_all_are_free_pass() -> None:
    first, second = free_ports(2)
    check_ports([PortUse(first, "Hermod", "HERMOD_PORT"), PortUse(second, "Temporal", "HERMOD_TEMPORAL_PORT")])


@pytest.mark.parametrize("host", [LOOPBACK, "0.0.0.0"])
def test_ports_when_some_are_taken_names_each_with_its_owner_and_variable(host: str) -> None:
    with socket.create_server((host, 0)) as one, socket.create_server((host, 0)) as other:
        taken, also_taken = one.getsockname()[1], other.getsockname()[1]
        uses = [
            PortUse(taken, "Hermod", "HERMOD_PORT"),
            PortUse(free_port(), "Temporal", "HERMOD_TEMPORAL_PORT"),
            PortUse(also_taken, "the provider sandbox", "HERMOD_SANDBOX_PORT"),
        ]
        with pytest.raises(PortsTaken) as refusal:
            check_ports(uses)
    first, second, third = str(refusal.value).splitlines()
    assert "2 ports" in first
    assert f"{taken} for Hermod: taken by" in second
    assert f"(pid {os.getpid()}: " in second
    assert second.endswith("set HERMOD_PORT to another port")
    assert f"{also_taken} for the provider sandbox" in third
    assert "HERMOD_SANDBOX_PORT" in third


def test_ports_when_one_is_wanted_twice_names_both_uses() -> None:
    port = free_port()
    with pytest.raises(PortsTaken, match=r"for Temporal: also wanted for Hermod; set HERMOD_TEMPORAL_PORT"):
        check_ports([PortUse(port, "Hermod", "HERMOD_PORT"), PortUse(port, "Temporal", "HERMOD_TEMPORAL_PORT")])


def test_ports_of_connections_that_just_closed_are_free() -> None:
    """A server that closes first leaves its port waiting for a minute; that must not stop the next start."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((LOOPBACK, port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b""
    check_ports([PortUse(port, "Hermod", "HERMOD_PORT")])


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(50))) == 50


def test_free_ports_are_none_that_an_outgoing_connection_may_get() -> None:
    """One that did would have it in the moment in which its server starts."""
    found = free_ports(50)
    assert len(set(found)) == 50
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen(200)
        outgoing = [socket.create_connection(server.getsockname()) for _ in range(100)]
    given = {one.getsockname()[1] for one in outgoing}
    for one in outgoing:
        one.close()
    assert max(found) < min(given)
