"""Values that may be a moment old: read once for all who ask at the same time, and again when they have changed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from hermod.storage.database import ttl_cache as recent
from hermod.storage.database.ttl_cache import TtlCache


@dataclass
class Source:
    read: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    broken: bool = False

    async def __call__(self, key: str) -> int:
        self.read.append(key)
        await self.gate.wait()
        if self.broken:
            raise OSError("away")
        return len(self.read)


async def test_callers_at_the_same_time_share_one_reading() -> None:
    source = Source()
    values = TtlCache(source.__call__, 60)
    asked = [asyncio.create_task(values.get("a")) for _ in range(3)]
    await asyncio.sleep(0)
    source.gate.set()
    assert await asyncio.gather(*asked) == [1, 1, 1]
    assert (await values.get("a"), await values.get("b"), source.read) == (1, 2, ["a", "b"])


async def test_caller_who_gives_up_leaves_the_reading_to_the_others() -> None:
    source = Source()
    values = TtlCache(source.__call__, 60)
    hasty, patient = asyncio.create_task(values.get("a")), asyncio.create_task(values.get("a"))
    await asyncio.sleep(0)
    hasty.cancel()
    await asyncio.sleep(0)
    source.gate.set()
    assert await patient == 1


async def test_value_that_is_old_or_forgotten_is_read_anew() -> None:
    source = Source()
    source.gate.set()
    aged, kept = TtlCache(source.__call__, -1), TtlCache(source.__call__, 60)
    assert (await aged.get("a"), await aged.get("a")) == (1, 2)
    assert await kept.get("a") == 3
    kept.forget("a")
    assert await kept.get("a") == 4


async def test_reading_that_fails_is_not_kept() -> None:
    source = Source(broken=True)
    source.gate.set()
    values = TtlCache(source.__call__, 60)
    with pytest.raises(OSError, match="away"):
        await values.get("a")
    source.broken = False
    assert await values.get("a") == 2


async def test_old_values_are_let_go_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST", 10)
    source = Source()
    source.gate.set()
    values = TtlCache(source.__call__, -1)
    for number in range(100):
        await values.get(str(number))
    assert len(values._kept) <= 10
