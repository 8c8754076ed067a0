"""chDB inside a process: the same client and statements, and a folder that belongs to one process at a time.

The engine stays out of the process of the tests: programs of their own have it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hermod.analytics.places import Folder, FolderLock
from hermod.contracts.errors import Unavailable
from tests.support.analytics.clickhouse import opened
from tests.support.processes import line, python

_PROGRAM = """
import asyncio, logging, sys
from pathlib import Path
from hermod.analytics.places import Folder
from hermod.analytics.sink import ClickHouseSink
from hermod.ports.analytics import Refused
from hermod.telemetry import configure_logging
from tests.support.analytics.clickhouse import event_line, opened, schema_of

async def main(folder, stay):
    place = Folder(Path(folder))
    async with opened(place, "hermod") as first, opened(place, "hermod") as second:
        print(await first.ping(), flush=True)
        sink = ClickHouseSink(first, schema_of(first))
        for token in ("t", "t", "u"):
            await sink.insert("events", event_line() * 100, token=token)
        try:
            await sink.insert("events", event_line(occurred_at="yesterday"), token="v")
        except Refused as refused:
            print(refused, flush=True)
        rows, ping = await asyncio.gather(second.rows("SELECT count() AS n FROM events"), second.ping())
        print(rows, ping, flush=True)
        if stay:
            await asyncio.Event().wait()

configure_logging("WARNING")
asyncio.run(main(sys.argv[1], stay=len(sys.argv) > 2))
"""
_SAID = ["chDB, not opened yet", "CANNOT_PARSE_DATETIME (41)", "[{'n': 200}] chDB, in this process"]


async def test_folder_belongs_to_one_process_and_outlives_its_kill(home: Path) -> None:
    folder = home / "clickhouse"
    with python("-c", _PROGRAM, folder, "stay") as holder:
        assert [line(holder) for _ in _SAID] == _SAID
        async with opened(Folder(folder), "hermod") as client:
            with pytest.raises(Unavailable, match=f"another process \\({holder.pid}\\); set CLICKHOUSE_URL"):
                await client.rows("SELECT 1")
        holder.kill()
        holder.wait()
    with python("-c", _PROGRAM, folder) as successor:
        assert [line(successor) for _ in _SAID] == _SAID
        assert successor.wait(timeout=30) == 0


def test_lock_is_shared_within_a_process_and_given_back_by_the_last(home: Path) -> None:
    first, second = FolderLock(home / "clickhouse"), FolderLock(home / "clickhouse")
    first.take()
    second.take()
    first.give_back()
    elsewhere = (
        "import sys; from pathlib import Path; from hermod.analytics.places import FolderLock\n"
        "try: FolderLock(Path(sys.argv[1])).take(); print('taken')\n"
        "except Exception as error: print(error)"
    )
    with python("-c", elsewhere, home / "clickhouse") as other:
        assert "belongs to another process" in line(other)
    second.give_back()
    with python("-c", elsewhere, home / "clickhouse") as other:
        assert line(other) == "taken"


def test_folder_cannot_be_written_says_so(home: Path) -> None:
    (home / "file").touch()
    with pytest.raises(Unavailable, match=r"cannot write to .*; set CLICKHOUSE_URL"):
        FolderLock(home / "file" / "clickhouse").take()


async def test_folder_belongs_to_another_process_a_ping_says_so(home: Path) -> None:
    folder = home / "clickhouse"
    with python("-c", _PROGRAM, folder, "stay") as holder:
        assert [line(holder) for _ in _SAID] == _SAID
        async with opened(Folder(folder), "hermod") as client:
            with pytest.raises(Unavailable, match=f"another process \\({holder.pid}\\); set CLICKHOUSE_URL"):
                await client.ping()
    async with opened(Folder(folder), "hermod") as client:
        assert await client.ping() == "chDB, not opened yet"
