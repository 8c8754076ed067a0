"""The sandbox as one object: three servers, one inbox, one board of faults."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from devstack.sandbox.control import Control
from devstack.sandbox.exchange import Exchange
from devstack.sandbox.faults import FaultBoard
from devstack.sandbox.front import Front, route, server
from devstack.sandbox.http2 import Http2Server
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.journal import FLUSH_SECONDS
from devstack.sandbox.page import Page
from devstack.sandbox.providers.apns import PROVIDER as APNS
from devstack.sandbox.providers.registry import HTTP_PROVIDERS
from devstack.sandbox.reports import Reports
from devstack.sandbox.smtp import MailServer
from devstack.servers.local_http import is_local


class Sandbox:
    """Runs in the current event loop while the context is open. Port 0 takes a free one.

    `data_file` keeps the inbox over a restart. It belongs to one sandbox at a time.
    """

    def __init__(
        self,
        http_port: int = 0,
        smtp_port: int = 0,
        data_file: Path | None = None,
        host: str = "127.0.0.1",
        apns_port: int = 0,
    ) -> None:
        self.url = ""
        self.smtp_port = smtp_port
        self.apns_port = apns_port
        self.inbox = Inbox(data_file)
        self.faults = FaultBoard(self.inbox.counts)
        self._host = host
        self._http_port = http_port
        self._stopping = asyncio.Event()
        self._mail = MailServer(self.inbox, self.faults, self._stopping)
        self._apns = Http2Server(Exchange(APNS, self.inbox, self.faults, self._stopping).answer)
        self._runner: web.ServerRunner | None = None
        self._flushing: asyncio.Task[None] | None = None

    @property
    def apns_url(self) -> str:
        """The base of APNs, which speaks HTTP/2 with prior knowledge and nothing else."""
        return f"http://{self._host}:{self.apns_port}"

    async def __aenter__(self) -> Self:
        self.inbox.load()
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def _start(self) -> None:
        self._flushing = asyncio.create_task(self._flush())
        self.smtp_port = await self._mail.start(self._host, self.smtp_port)
        self.apns_port = await self._apns.start(self._host, self.apns_port)
        web_server = server(self._front(), asyncio.get_running_loop())
        self._runner = web.ServerRunner(web_server, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._http_port).start()
        self.url = f"http://{self._host}:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        """Answers that are held back are given up; what was accepted is in the file."""
        self._stopping.set()
        await self._mail.stop()
        await self._apns.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._flushing is not None:
            self._flushing.cancel()
            with suppress(asyncio.CancelledError):
                await self._flushing
        self.inbox.close()

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self.inbox.flush()

    def _front(self) -> Front:
        exchanges = {
            provider.name: Exchange(provider, self.inbox, self.faults, self._stopping).handle
            for provider in HTTP_PROVIDERS
            if not provider.http2
        }
        page = Page(host=self._host, smtp_port=self.smtp_port, apns_port=self.apns_port)
        own = [*Control(self.inbox, self.faults).routes(), *Reports(self.inbox).routes()]
        return Front(exchanges, [route("GET", "/", page.handle), *own], local=is_local(self._host))
