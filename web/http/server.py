"""Serving the application over HTTP until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI

from hermod.settings import Settings
from hermod.telemetry import get_logger
from starter.process.health import PortTaken
from web.http.heads import Heads

GRACE: Final = 8
"""Seconds that requests under way have to end after SIGTERM."""
KEEP_ALIVE: Final = 65
"""Seconds an idle connection stays open: longer than the minute of usual proxies, so that they close first."""
BACKLOG: Final = 2048
_log = get_logger(__name__)


class _Server(uvicorn.Server):
    """Leaves the signals alone: they are the program's, which has more to stop than this server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: FastAPI, settings: Settings, stop: asyncio.Event) -> None:
    """Answer requests at HERMOD_HOST and HERMOD_PORT until `stop` is set. Raises PortTaken."""
    listener = _listen(settings.host, settings.port)
    server = _Server(
        uvicorn.Config(
            app,
            http=Heads,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    try:
        host, port = listener.getsockname()[:2]
        _log.info("web_listens", host=host, port=port)
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        stopping.cancel()
        await serving
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise PortTaken(f"cannot listen at {host}:{port} ({error.strerror}); set HERMOD_PORT to another") from error
