"""The provider sandbox as a child process, so that its work is not on the account of the process that sends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devstack.servers.own_server import OwnServer, port_of
from devstack.servers.ports import LOOPBACK


class SandboxServer(OwnServer):
    """HTTP, SMTP, and HTTP/2 for APNs. `url` is the inbox page, and with `/{provider}` the base of a provider's API;
    `inbox` keeps what arrived across starts.
    """

    name = "the provider sandbox"
    module = "devstack.sandbox"

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
        super().__init__(log=log, port=port, pid_file=pid_file)
        self._smtp_port = smtp_port
        self._apns_port = apns_port
        self._inbox = inbox

    @property
    def smtp_port(self) -> int:
        return self._smtp_port

    @property
    def apns_url(self) -> str:
        """The base of APNs, over HTTP/2 only. Known once it is started."""
        return f"http://{LOOPBACK}:{self._apns_port}"

    async def start(self) -> None:
        if self._inbox:
            self._inbox.parent.mkdir(parents=True, exist_ok=True)
        await super().start()

    def _arguments(self) -> list[str]:
        keep = ["--data", str(self._inbox)] if self._inbox else []
        return ["--smtp-port", str(self._smtp_port), "--apns-port", str(self._apns_port), *keep]

    def _take(self, said: Mapping[str, Any]) -> None:
        super()._take(said)
        self._smtp_port = said["smtp_port"]
        self._apns_port = port_of(said["apns_url"])
