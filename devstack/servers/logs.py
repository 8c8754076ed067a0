"""The log files of the dev stack: none grows for ever, and some earlier ones stay beside it as `.1`, `.2` and so on.

Children write into files that they hold open, so a full one is copied and emptied under them (they append); what is
written in the moment between the last look and the emptying is lost.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

MOST_BYTES: Final = 10 * 1024 * 1024
EARLIER: Final = 4
"""So many earlier ones are kept of each log."""
LOOK_SECONDS: Final = 15.0


def open_new(log: Path) -> int:
    """A descriptor to append to an empty log that only its owner can read; the one before is kept."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        make_room(log)
        log.replace(earlier(log, 1))
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def earlier(log: Path, number: int) -> Path:
    """1 is the youngest."""
    return log.with_name(f"{log.name}.{number}")


def make_room(log: Path) -> None:
    """Number the earlier ones on, so that `.1` is free; the oldest goes."""
    for number in range(EARLIER, 1, -1):
        younger = earlier(log, number - 1)
        if younger.exists():
            younger.replace(earlier(log, number))


def empty(log: Path) -> None:
    """Keep what the log holds as `.1`, and let its writer go on in an empty one."""
    make_room(log)
    with (
        log.open("r+b") as full,
        open(os.open(earlier(log, 1), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as copy,
    ):
        shutil.copyfileobj(full, copy, 1024 * 1024)
        full.truncate(0)


async def keep_small(logs: Sequence[Path], *, most: int = MOST_BYTES, every: float = LOOK_SECONDS) -> None:
    """Look after logs that children write; never returns."""
    while True:
        for log in logs:
            if log.exists() and log.stat().st_size > most:
                await asyncio.to_thread(empty, log)
        await asyncio.sleep(every)


class OwnLog(RotatingFileHandler):
    """For the lines of this process: the same sizes and names, and nobody else can read it."""

    def __init__(self, log: Path, *, most: int = MOST_BYTES) -> None:
        os.close(open_new(log))
        super().__init__(log, maxBytes=most, backupCount=EARLIER, encoding="utf-8")

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=_private)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
