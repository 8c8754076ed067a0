"""The provider sandbox as a child process, so that its work is not on the account of the process that sends."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from devstack.ports import LOOPBACK
from devstack.process import Child, Program, whole_environment

_ROOT: Final = Path(__file__).resolve().parents[1]
_START_SECONDS = 30.0


class SandboxServer:
    """`python -m devstack.sandbox` on 127.0.0.1. Port 0 takes a free one; `inbox` keeps what arrived across starts."""

    def __init__(
        self,
        *,
        log: Path,
        port: int = 0,
        smtp_port: int = 0,
        apns_port: int = 0,
        inbox: Path | None = None,
        pid_file: Path | None = None,
    ) -> None:
        self._log = log
        self._port = port
        self._smtp_port = smtp_port
        self._apns_port = apns_port
        self._inbox = inbox
        self._pid_file = pid_file
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """The inbox page, and with `/{provider}` the base of a provider's API. Known once it is started."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def smtp_port(self) -> int:
        return self._smtp_port

    @property
    def apns_url(self) -> str:
        """The base of APNs, over HTTP/2 only. Known once it is started."""
        return f"http://{LOOPBACK}:{self._apns_port}"

    @property
    def child(self) -> Child:
        """The running server; there is one between `start` and `stop`."""
        if self._child is None:
            raise RuntimeError("the sandbox is not running")
        return self._child

    async def start(self) -> None:
        """Start its servers: HTTP, SMTP, and HTTP/2 for APNs. Raises StackError with the end of the log."""
        if self._inbox:
            self._inbox.parent.mkdir(parents=True, exist_ok=True)
        ports = ["--port", str(self._port), "--smtp-port", str(self._smtp_port), "--apns-port", str(self._apns_port)]
        keep = ["--data", str(self._inbox)] if self._inbox else []
        self._child = Child.spawn(
            Program(
                name="the provider sandbox",
                command=[sys.executable, "-m", "devstack.sandbox", *ports, *keep],
                log=self._log,
                pid_file=self._pid_file,
                cwd=_ROOT,
                environment=whole_environment(),
            )
        )
        await self._child.until_ready(self._is_ready, within=_START_SECONDS)

    async def stop(self, *, within: float = 3.0) -> None:
        if self._child:
            await self._child.stop(within=within)
            self._child = None

    async def _is_ready(self) -> bool:
        """It prints where it listens, as one line of JSON."""
        for line in self._log.read_text().splitlines():
            if line.startswith("{") and '"smtp_port"' in line:
                said = json.loads(line)
                self._port, self._smtp_port = _port(said["url"]), said["smtp_port"]
                self._apns_port = _port(said["apns_url"])
                return True
        return False


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])
