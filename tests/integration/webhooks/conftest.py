"""A poster that may call this machine, a receiver on it, and a dispatch between the two."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hermod.bootstrap import open_storage
from hermod.clock import SystemClock
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.webhooks.poster import WebhookPoster
from tests.integration.webhooks.bench import TENANT, Bench
from tests.integration.webhooks.posting import posting
from tests.support.hostile import Hostile
from tests.support.product import settings_for


@pytest.fixture
async def poster() -> AsyncIterator[WebhookPoster]:
    async with posting(AddressGuard(allow_private=True)) as poster:
        yield poster


@pytest.fixture
async def receiver() -> AsyncIterator[Hostile]:
    async with Hostile() as receiver:
        yield receiver


@pytest.fixture
async def bench(database_url: str, receiver: Hostile) -> AsyncIterator[Bench]:
    settings = settings_for(database_url, "127.0.0.1:1")
    async with open_storage(settings) as storage, posting(AddressGuard(allow_private=True)) as poster:
        await storage.tenants.create(TENANT, TENANT, SystemClock().now())
        async with storage.workers.session():
            yield Bench(storage, poster, receiver)
