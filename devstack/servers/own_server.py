"""A server of our own as a child process: a module of the dev stack that prints where it listens."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from devstack.servers.ports import LOOPBACK
from devstack.servers.process import Child, Program, whole_environment

_ROOT: Final = Path(__file__).resolve().parents[2]
_START_SECONDS: Final = 30.0


class OwnServer(ABC):
    """`python -m <module>` on 127.0.0.1. Port 0 takes a free one, which further starts keep."""

    name: ClassVar[str]
    """As the user reads it."""
    module: ClassVar[str]

    def __init__(self, *, log: Path, port: int, pid_file: Path | None) -> None:
        self._log = log
        self._port = port
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
            raise RuntimeError(f"{self.name} is not running")
        return self._child

    async def start(self) -> None:
        """It listens then. Raises StackError with the end of the log."""
        self._child = Child.spawn(
            Program(
                name=self.name,
                command=[sys.executable, "-m", self.module, "--port", str(self._port), *self._arguments()],
                log=self._log,
                pid_file=self._pid_file,
                cwd=_ROOT,
                environment=self._environment(),
            )
        )
        await self._child.until_ready(self._is_ready, within=_START_SECONDS)

    async def stop(self, *, within: float = 3.0) -> None:
        if self._child:
            await self._child.stop(within=within)
            self._child = None

    @abstractmethod
    def _arguments(self) -> list[str]:
        """All but the port."""

    def _environment(self) -> dict[str, str]:
        return whole_environment()

    def _take(self, said: Mapping[str, Any]) -> None:
        """Note where it listens, from the line that it printed."""
        self._port = port_of(said["url"])

    async def _is_ready(self) -> bool:
        """It prints where it listens, as one line of JSON."""
        for line in self._log.read_text().splitlines():
            if line.startswith('{"url"'):
                self._take(json.loads(line))
                return True
        return False


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])
