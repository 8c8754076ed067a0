"""The ClickHouse front as a child process: chDB belongs to one process, and so all others can share it."""

from __future__ import annotations

import secrets
from pathlib import Path

from devstack.clickhouse.access import PASSWORD_VARIABLE, USER
from devstack.servers.own_server import OwnServer


class ClickHouseServer(OwnServer):
    """Ready once the front listens; its engine may still open. Without `password` it makes one for itself."""

    name = "ClickHouse"
    module = "devstack.clickhouse"

    def __init__(
        self,
        *,
        folder: Path,
        log: Path,
        port: int = 0,
        password: str | None = None,
        open_at_once: bool = False,
        pid_file: Path | None = None,
    ) -> None:
        super().__init__(log=log, port=port, pid_file=pid_file)
        self._password = password or secrets.token_urlsafe(32)
        self._folder = folder
        self._open_at_once = open_at_once

    @property
    def url(self) -> str:
        """Its user and password are part of it."""
        return self.plain_url.replace("://", f"://{USER}:{self._password}@", 1)

    @property
    def plain_url(self) -> str:
        """For people to see."""
        return super().url

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {PASSWORD_VARIABLE: self._password}

    def _arguments(self) -> list[str]:
        return ["--data", str(self._folder), *(["--open"] if self._open_at_once else [])]
