"""One message through every provider, the whole way and back: what `make demo` shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from devstack.demo.paid_form import show_paid_form
from devstack.demo.sandbox_accounts import SandboxAddresses
from devstack.demo.showcase import show
from devstack.sandbox import Sandbox
from devstack.servers.ports import free_port
from hermod.channels.registry import KITS
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.receipts import ReceiptEventType
from starter import Hermod
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from web.app import create_app
from web.http.server import serve


@pytest.fixture
async def hermod(house: ProductFixture) -> AsyncIterator[Hermod]:
    """The client of a product whose web answers at its public address."""
    core, port = house.hermod.core, free_port()
    settings = core.settings.model_copy(update={"public_url": f"http://127.0.0.1:{port}", "port": port})
    reachable = Hermod(replace(core, settings=settings), house.hermod.tenant, "test")
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(create_app(settings, hermod=reachable), settings, stop))

    async def answers() -> bool:
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"{settings.public_url}/health")).status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

    await eventually(answers)
    yield reachable
    stop.set()
    await serving


async def test_show_every_provider_takes_its_message_and_reports_its_delivery(hermod: Hermod, sandbox: Sandbox) -> None:
    at = SandboxAddresses(url=sandbox.url, smtp_port=sandbox.smtp_port, apns_url=sandbox.apns_url)
    shown = {one.provider: one.view for one in await show(hermod, at)}
    assert len(shown) == 15
    assert set(shown) == set(KITS) - {"sandbox"}
    reporting = {provider for provider in shown if KITS[provider].receipts is not None}
    wanted = {provider: Status.DELIVERED if provider in reporting else Status.SENT for provider in shown}
    told = {provider: (view.error, [attempt.error for attempt in view.attempts]) for provider, view in shown.items()}
    assert {provider: view.status for provider, view in shown.items()} == wanted, told
    for provider in reporting:
        assert ReceiptEventType.DELIVERED in {receipt.kind for receipt in shown[provider].receipts}


async def test_show_form_is_paid_for_tells_the_whole_way(hermod: Hermod) -> None:
    steps = [step.kind for step in await show_paid_form(hermod)]
    wanted = ["submission.received", "payment.paid", "submission.paid", "submission.completed", "submission.refunded"]
    assert [kind for kind in steps if kind in wanted] == wanted
