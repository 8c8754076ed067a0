"""`POST /_sandbox/inbox/{number}/report`: the sandbox calls Hermod over HTTP, as a vendor would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest

from devstack.servers.ports import LOOPBACK, free_port
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Status
from starter.process.health import PortTaken
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from web.app import create_app
from web.http.server import serve

PATIENT = 30
SECRET = {"api_key": "key", "webhook_secret": "shared-with-the-sandbox"}


@pytest.fixture
async def address(house: ProductFixture) -> AsyncIterator[str]:
    """Hermod's web, which listens."""
    stop = asyncio.Event()
    while True:
        settings = house.hermod.core.settings.model_copy(update={"port": free_port()})
        serving = asyncio.create_task(serve(create_app(settings, hermod=house.hermod), settings, stop))
        url = f"http://{LOOPBACK}:{settings.port}"
        try:
            await eventually(partial(answers, serving, url))
            break
        except PortTaken:
            continue
    yield url
    stop.set()
    await serving


async def answers(serving: asyncio.Task[None], url: str) -> bool:
    """Raises what has ended the server."""
    if serving.done():
        serving.result()
    async with httpx.AsyncClient(base_url=url, timeout=PATIENT) as client:
        try:
            await client.get("/health")
        except httpx.ConnectError:
            return False
    return not serving.done()


async def order(house: ProductFixture, path: str, **body: Any) -> httpx.Response:
    assert house.sandbox is not None
    async with httpx.AsyncClient(base_url=house.sandbox.url, timeout=PATIENT) as client:
        return await client.post(f"/_sandbox/inbox/{path}/report", json=body)


async def number_of(house: ProductFixture, message: str) -> int:
    assert house.sandbox is not None
    async with httpx.AsyncClient(base_url=house.sandbox.url, timeout=PATIENT) as client:
        (item,) = (await client.get("/_sandbox/inbox", params={"message_id": message})).json()["items"]
    return int(item["number"])


async def test_sandbox_is_told_to_report_calls_hermod_and_gives_its_answer(house: ProductFixture, address: str) -> None:
    await house.add_account("main", credentials=SECRET)
    receipt = await house.hermod.send(Email(to="ada@example.com", subject="Hello", text="Hello"))
    await house.reached(receipt.id, Status.SENT)
    number = await number_of(house, receipt.id)
    url = f"{address}/ingress/receipts/sandbox/{house.hermod.tenant}/main"
    forged = await order(house, str(number), happening="delivered", url=url)
    assert (forged.status_code, forged.json()["status"]) == (200, 401)
    assert (await house.hermod.status(receipt.id)).status is Status.SENT
    answer = await order(house, str(number), happening="delivered", url=url, credentials=SECRET)
    assert (answer.status_code, answer.json()) == (200, {"status": 200, "body": ""})
    await house.reached(receipt.id, Status.DELIVERED)
    inbound = await order(house, str(number), happening="inbound", url=url, credentials=SECRET, words="STOP")
    assert inbound.json()["status"] == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("999999999", {"happening": "delivered", "url": "http://127.0.0.1:9/"}, 404, "not_found"),
        ("{number}", {"happening": "abducted", "url": "http://127.0.0.1:9/"}, 422, "no_such_report"),
        ("{number}", {"happening": "delivered", "url": "http://127.0.0.1:9/"}, 422, "no_answer"),
        ("{number}", {"happening": "delivered", "url": "ftp://x"}, 422, "invalid_report"),
        ("{number}", {"happening": "delivered"}, 422, "invalid_report"),
    ],
)
async def test_report_cannot_be_made_says_why(
    house: ProductFixture, path: str, body: dict[str, str], status: int, code: str
) -> None:
    await house.add_account("main", credentials=SECRET)
    receipt = await house.hermod.send(Email(to="ada@example.com", subject="Hello", text="Hello"))
    await house.reached(receipt.id, Status.SENT)
    number = await number_of(house, receipt.id)
    answer = await order(house, path.format(number=number), **body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
