"""An endpoint was disabled: its owner gets an email, those that asked for it an event, and each of them once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from devstack.servers.ports import LOOPBACK, free_port
from hermod.bootstrap import Storage, open_storage
from hermod.clock import SystemClock
from hermod.contracts.notifications.content import Channel
from hermod.contracts.tenants.accounts import AccountInput
from hermod.contracts.webhooks.notices import NoticeReport
from hermod.storage.webhooks.acceptance import WebhookAcceptance
from starter.webhooks.notices import NoticeSender
from tests.support.product import settings_for

_INSERT: Final = text("""
    INSERT INTO webhook_endpoints (tenant_id, id, url, event_types, retry, timeout_seconds, max_concurrency, ordering,
                                   when_exhausted, secrets, header_names, enabled, concurrency)
    VALUES ('shop', :id, 'https://user:pw@example.com/hooks?token=secret', :filters, '"webhook"', 15, 10, 'none',
            'dead_letter', '', '{}', :enabled, 10)
""")
_NOTICE: Final = text("""
    INSERT INTO webhook_notices (tenant_id, endpoint_id, disabled_at, reason, failing_since)
    VALUES ('shop', :id, :at, 'failing', :since)
""")

_EVENTS: Final = text("""
    SELECT e.body, array_agg(d.endpoint_id ORDER BY d.endpoint_id) AS endpoints
      FROM webhook_events e JOIN webhook_deliveries d ON d.tenant_id = e.tenant_id AND d.event_id = e.id
     WHERE d.status = 'pending' GROUP BY e.id, e.body
""")


@dataclass
class Board:
    """A tenant with one endpoint that was just disabled, and what is announced to others."""

    storage: Storage
    events: WebhookAcceptance

    async def announced(self) -> list[tuple[dict[str, Any], list[str]]]:
        """Each event as it will be sent, and its endpoints."""
        rows = await self.storage.database.rows(_EVENTS, {})
        return [(orjson.loads(row.body), row.endpoints) for row in rows]

    @property
    def sender(self) -> NoticeSender:
        storage = self.storage
        return NoticeSender(storage.webhook_notices, storage.acceptance, storage.accounts, self.events, SystemClock())

    async def add(self, endpoint: str, *filters: str, enabled: bool = True) -> None:
        await self.storage.database.execute(_INSERT, {"id": endpoint, "filters": list(filters), "enabled": enabled})

    async def disabled(self, endpoint: str = "wep_off") -> None:
        now = datetime.now(UTC)
        names = {"id": endpoint, "at": now, "since": now - timedelta(days=5)}
        await self.storage.database.execute(_NOTICE, names)

    async def name_owner(self, email: str | None = "ops@example.com") -> None:
        await self.storage.tenants.set_owner("shop", email, actor="test", now=datetime.now(UTC))

    async def add_account(self, channel: Channel = Channel.EMAIL) -> None:
        account = AccountInput(
            channel=channel, provider="sandbox", credentials={"api_key": SecretStr("key")}, from_="shop@example.com"
        )
        await self.storage.accounts.put("shop", "main", account, actor="test", now=datetime.now(UTC))

    async def again(self) -> None:
        """As if the last pass had told everybody and died before it could say so."""
        await self.storage.database.execute(
            text("UPDATE webhook_notices SET announced_at = NULL, written_at = NULL"), {}
        )

    async def letters(self) -> list[str]:
        rows = await self.storage.database.rows(text("SELECT recipient FROM messages"), {})
        return [row.recipient for row in rows]


@pytest.fixture
async def board(database_url: str) -> AsyncIterator[Board]:
    async with open_storage(settings_for(database_url, f"{LOOPBACK}:{free_port()}")) as storage:
        await storage.tenants.create("shop", "The Shop", datetime.now(UTC))
        made = Board(storage, WebhookAcceptance(storage.database, storage.contents))
        await made.add("wep_off", "*", "endpoint.disabled", enabled=False)
        await made.disabled()
        yield made


async def test_owner_is_told_by_email_once_however_often_it_is_tried(board: Board) -> None:
    await board.add_account()
    await board.name_owner()
    assert (await board.sender.send()).written == 1
    assert (await board.sender.send()).written == 0
    await board.again()
    await asyncio.gather(board.sender.send(), board.sender.send())
    assert await board.letters() == ["ops@example.com"]


async def test_owner_that_changed_in_between_is_not_told_twice(board: Board) -> None:
    await board.add_account()
    await board.name_owner()
    await board.sender.send()
    await board.again()
    await board.name_owner("other@example.com")
    assert (await board.sender.send()).written == 0
    assert await board.letters() == ["ops@example.com"]


@pytest.mark.parametrize(("owner", "channel"), [(None, Channel.EMAIL), ("ops@example.com", Channel.SMS)])
async def test_nobody_to_tell_or_no_way_to_tell_them_ends_the_notice(
    board: Board, owner: str | None, channel: Channel
) -> None:
    await board.add_account(channel)
    await board.name_owner(owner)
    assert await board.sender.send() == NoticeReport()
    assert await board.letters() == []
    assert await board.storage.webhook_notices.open(10) == []


async def test_endpoints_that_asked_by_name_are_told_and_the_others_and_itself_are_not(board: Board) -> None:
    await board.add("wep_name", "order.paid", "endpoint.disabled")
    await board.add("wep_prefix", "endpoint.*")
    await board.add("wep_all", "*")
    await board.add("wep_other", "order.*")
    await board.add("wep_off_too", "endpoint.*", enabled=False)
    assert (await board.sender.send()).announced == 1
    ((event, endpoints),) = await board.announced()
    assert endpoints == ["wep_name", "wep_prefix"]
    assert event["type"] == "endpoint.disabled"
    assert (event["data"]["endpoint_id"], event["data"]["reason"]) == ("wep_off", "failing")
    assert event["data"]["url"] == "https://example.com/hooks"


async def test_event_told_again_is_the_same_event(board: Board) -> None:
    await board.add("wep_name", "endpoint.disabled")
    await board.sender.send()
    await board.again()
    await board.sender.send()
    assert len(await board.announced()) == 1


async def test_endpoint_disabled_twice_is_two_notices(board: Board) -> None:
    await board.add("wep_name", "endpoint.disabled")
    await board.sender.send()
    await board.disabled()
    await board.sender.send()
    assert len(await board.announced()) == 2
