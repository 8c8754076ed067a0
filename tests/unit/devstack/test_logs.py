"""Logs of the dev stack have a size and a number, whoever writes them."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from devstack.servers.logs import EARLIER, OwnLog, earlier, keep_small
from devstack.servers.process import Child, Program
from tests.support.polling import eventually

_WRITER = "import time\nfor n in range(100_000): print(f'line {n:06}', flush=True); time.sleep(0.0005)"


def sizes(log: Path) -> list[int]:
    return [file.stat().st_size for file in log.parent.glob(f"{log.name}*")]


async def test_log_of_a_child_that_writes_on_and_on_stays_small(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    child = Child.spawn(Program(name="Example", command=[sys.executable, "-c", _WRITER], log=log))
    keeper = asyncio.create_task(keep_small([log], most=2_000, every=0.01))
    await eventually(earlier(log, EARLIER).exists)
    oldest = earlier(log, EARLIER).read_text()
    await eventually(lambda: earlier(log, EARLIER).read_text() != oldest)
    keeper.cancel()
    await child.stop(within=5)
    assert len(sizes(log)) == 1 + EARLIER
    assert log.read_bytes().startswith(b"line ")  # it goes on at the beginning, without a hole
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in tmp_path.iterdir())


def test_own_log_stays_small_and_keeps_that_of_the_run_before(tmp_path: Path) -> None:
    log = tmp_path / "hermod.log"
    log.write_text("the run before\n")
    handler = OwnLog(log, most=1_000)
    assert earlier(log, 1).read_text() == "the run before\n"
    for number in range(1_000):
        handler.emit(logging.makeLogRecord({"msg": f"line {number}"}))
    handler.close()
    assert len(sizes(log)) == 1 + EARLIER
    assert max(sizes(log)) <= 1_000
    assert log.read_text().endswith("line 999\n")
    assert log.stat().st_mode & 0o777 == 0o600


async def test_logs_of_many_starts_are_kept_up_to_a_number(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    for number in range(EARLIER + 3):
        await Child.spawn(
            Program(name="Example", command=[sys.executable, "-c", f"print({number})"], log=log)
        ).until_exit()
    kept = [earlier(log, number).read_text().strip() for number in range(1, EARLIER + 1)]
    assert [log.read_text().strip(), *kept] == [str(EARLIER + 2 - number) for number in range(EARLIER + 1)]
    assert not earlier(log, EARLIER + 1).exists()
