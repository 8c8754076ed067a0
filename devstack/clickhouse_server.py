"""The ClickHouse front as a child process: chDB belongs to one process, and so all others can share it."""

from __future__ import annotations

from pathlib import Path

from devstack.own_server import OwnServer


class ClickHouseServer(OwnServer):
    """Ready once the front listens; its engine may still open."""

    name = "ClickHouse"
    module = "devstack.clickhouse"

    def __init__(
        self, *, folder: Path, log: Path, port: int = 0, open_at_once: bool = False, pid_file: Path | None = None
    ) -> None:
        super().__init__(log=log, port=port, pid_file=pid_file)
        self._folder = folder
        self._open_at_once = open_at_once

    def _arguments(self) -> list[str]:
        return ["--data", str(self._folder), *(["--open"] if self._open_at_once else [])]
