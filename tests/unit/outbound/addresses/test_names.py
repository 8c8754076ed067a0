"""Names of receivers: what an answer becomes, and that names without one do not hold up the others."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hermod.outbound.addresses import names
from hermod.outbound.addresses.names import SystemNames


@pytest.fixture
async def system() -> AsyncIterator[SystemNames]:
    system = SystemNames()
    yield system
    await system.aclose()


async def test_names_that_are_never_answered_do_not_hold_up_another(
    system: SystemNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        if host.startswith("slow"):
            answered.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    slow = [asyncio.create_task(system.resolve(f"slow{number}.example", 443)) for number in range(40)]
    try:
        (answer,) = await asyncio.wait_for(system.resolve("quick.example", 443), 5)
        assert answer[4] == ("1.1.1.1", 443)
        assert not any(task.done() for task in slow)
    finally:
        answered.set()
        await asyncio.gather(*slow)


async def test_name_without_an_answer_in_time_is_an_error_of_the_name(
    system: SystemNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def look_up(*_: Any, **__: Any) -> list[Any]:
        answered.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(names, "_LONGEST", 0.05)
    try:
        with pytest.raises(OSError, match="do not answer"):
            await system.resolve("slow.example", 443)
    finally:
        answered.set()
