"""The ClickHouse front as a child process: chDB belongs to one process, and so all others can share it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from devstack.ports import LOOPBACK
from devstack.process import Child, Program, whole_environment

_ROOT: Final = Path(__file__).resolve().parents[1]
_START_SECONDS: Final = 30.0


class ClickHouseServer:
    """`python -m devstack.clickhouse` on 127.0.0.1. Port 0 takes a free one, which further starts keep."""

    def __init__(
        self, *, folder: Path, log: Path, port: int = 0, open_at_once: bool = False, pid_file: Path | None = None
    ) -> None:
        self._folder = folder
        self._log = log
        self._port = port
        self._open_at_once = open_at_once
        self._pid_file = pid_file
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Known once it is started."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def child(self) -> Child:
        """The running server; there is one between `start` and `stop`."""
        if self._child is None:
            raise RuntimeError("the ClickHouse front is not running")
        return self._child

    async def start(self) -> None:
        """It listens then; its engine may still open. Raises StackError with the end of the log."""
        command = [sys.executable, "-m", "devstack.clickhouse", "--port", str(self._port), "--data", str(self._folder)]
        self._child = Child.spawn(
            Program(
                name="ClickHouse",
                command=[*command, "--open"] if self._open_at_once else command,
                log=self._log,
                pid_file=self._pid_file,
                cwd=_ROOT,
                environment=whole_environment(),
            )
        )
        await self._child.until_ready(self._is_ready, within=_START_SECONDS)

    async def stop(self, *, within: float = 2.0) -> None:
        if self._child:
            await self._child.stop(within=within)
            self._child = None

    async def _is_ready(self) -> bool:
        """It prints where it listens, as one line of JSON."""
        for line in self._log.read_text().splitlines():
            if line.startswith('{"url"'):
                self._port = int(json.loads(line)["url"].rsplit(":", 1)[1])
                return True
        return False
