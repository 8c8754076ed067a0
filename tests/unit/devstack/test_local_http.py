"""Local servers answer to this machine's names only."""

from __future__ import annotations

import pytest

from devstack.servers.local_http import is_local


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8090", "localhost", "LocalHost:1", "[::1]", "[::1]:80", None, ""]
)
def test_host_of_this_machine_is_local(host: str | None) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",
        "attacker.example:8090",
        "127.0.0.1.attacker.example",
        "localhost.attacker.example:80",
        "127.0.0.1@attacker.example",
        "attacker.example:127.0.0.1",
        "0.0.0.0:8090",
        "192.168.1.7",
    ],
)
def test_host_of_another_name_is_not_local(host: str) -> None:
    assert not is_local(host)
