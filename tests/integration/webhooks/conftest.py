"""A poster that may call this machine, and a receiver on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hermod.outbound.guard import AddressGuard
from hermod.outbound.webhook_poster import WebhookPoster
from tests.integration.webhooks.posting import posting
from tests.support.hostile import Hostile


@pytest.fixture
async def poster() -> AsyncIterator[WebhookPoster]:
    async with posting(AddressGuard(allow_private=True)) as poster:
        yield poster


@pytest.fixture
async def receiver() -> AsyncIterator[Hostile]:
    async with Hostile() as receiver:
        yield receiver
