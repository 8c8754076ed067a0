"""The sandbox's HTTP/2 front: APNs beside the others, with the same inbox, faults and counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest

from devstack.sandbox import Sandbox
from devstack.sandbox.fault import FaultName
from devstack.sandbox.faults import FaultOrder
from hermod.channels.push.apns.sender import ApnsSender
from hermod.contracts.ids import message_id
from hermod.contracts.notifications.content import Push
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Unknown
from hermod.outbound.http.http2 import Http2Client
from hermod.outbound.wiring import AdapterContext
from tests.support.polling import eventually
from tests.support.sandbox_client import SandboxClient
from tests.unit.channels import samples

GUARD = AddressGuard(allow_private=True)


@pytest.fixture
async def client() -> AsyncIterator[SandboxClient]:
    async with Sandbox() as box, aiohttp.ClientSession() as session:
        yield SandboxClient(box, session)


async def sent(box: Sandbox) -> AnyOutcome:
    sender = ApnsSender(samples.account("apns", base_url=box.apns_url), AdapterContext(guard=GUARD))
    try:
        return await sender.send(samples.outgoing(Push(to="ab" * 32, title="Hello"), id=message_id()))
    finally:
        await sender.aclose()


async def test_apns_is_counted_and_listed_like_the_others(client: SandboxClient) -> None:
    assert isinstance(await sent(client.box), Accepted)
    await client.fault("apns", "rejected_recipient", times=1)
    await sent(client.box)
    stats = (await client.get("/_sandbox/stats"))["apns"]
    assert (stats["accepted"], stats["faults"]) == (1, 1)
    (item,) = await client.inbox(provider="apns")
    assert item["channel"] == "push"


async def test_apns_is_not_there_over_http_1(client: SandboxClient) -> None:
    assert (await client.call("POST", "/apns/3/device/" + "ab" * 32))[0] == 404
    with pytest.raises(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session, session.get(client.box.apns_url):
            pass


async def test_page_says_where_apns_is(client: SandboxClient) -> None:
    assert client.box.apns_url in await client.get("/")


async def test_sandbox_stops_while_an_answer_is_held_back() -> None:
    async with Sandbox() as box:
        box.faults.set("apns", FaultOrder(fault=FaultName.ACCEPT_THEN_TIMEOUT))
        client = Http2Client(httpx.URL(box.apns_url), GUARD)
        sender = ApnsSender(samples.account("apns", base_url=box.apns_url), AdapterContext(guard=GUARD))
        request = sender.request(samples.outgoing(Push(to="ab" * 32, title="Hello"), id=message_id()))
        exchange = asyncio.create_task(client.exchange(request, deadline=30))
        await eventually(lambda: len(box.inbox) == 1)
    with pytest.raises(Unknown):
        await asyncio.wait_for(exchange, 5)
    await client.aclose()
    await sender.aclose()
