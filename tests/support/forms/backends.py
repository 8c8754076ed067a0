"""A user's own backend for submissions, as a test decides, and which tenant of a running product has one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from devstack.servers.ports import LOOPBACK
from hermod.outbound.backend import HttpBackend
from hermod.ports.forms.submissions import Backend, SubmissionRecord

TOKEN: Final = "backend-token"

Decision = int | tuple[int, dict[str, str]]
"""A status, and headers that go with it."""


@dataclass
class OwnBackend:
    """Takes submissions as a Django REST application does: by `Idempotency-Key` once, whatever it answered before."""

    url: str = ""
    calls: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    """Headers, in lower case, and the document of each request."""
    kept: dict[str, int] = field(default_factory=dict)
    """Its id for each key."""
    decide: Callable[[int], Decision] = lambda attempt: 201
    """From the number of the request, from 1."""
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is cleared, submissions are taken and nobody is answered."""
    refusal: dict[str, Any] = field(default_factory=lambda: {"email": ["ada@example.com is taken."]})

    def __post_init__(self) -> None:
        self.answers.set()

    async def serve(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append((headers, await request.json()))
        assert request.path == "/submissions/"
        decision = self.decide(len(self.calls))
        status, more = decision if isinstance(decision, tuple) else (decision, {})
        if status >= 300:
            return web.json_response(self.refusal, status=status, headers=more)
        own = self.kept.setdefault(headers["idempotency-key"], len(self.kept) + 1)
        await self.answers.wait()
        return web.json_response({"id": own}, status=status, headers=more)


@asynccontextmanager
async def own_backend() -> AsyncIterator[OwnBackend]:
    backend, app = OwnBackend(), web.Application()
    app.router.add_route("*", "/{path:.*}", backend.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    backend.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    yield backend
    await runner.cleanup()


class TenantBackends:
    """A product has one backend. In a product that tests share, each tenant has its own, or none."""

    def __init__(self) -> None:
        self._backends: dict[str, Backend] = {}

    @asynccontextmanager
    async def at(self, tenant: str, url: str) -> AsyncIterator[HttpBackend]:
        """From now on this tenant's submissions go there."""
        backend = self._backends[tenant] = HttpBackend(url, TOKEN, deadline=2.0)
        yield backend
        del self._backends[tenant]
        await backend.aclose()

    async def save(self, record: SubmissionRecord) -> str | None:
        backend = self._backends.get(record.tenant)
        return None if backend is None else await backend.save(record)


BACKENDS: Final = TenantBackends()
