"""The audit of promises: each one that is broken is found, with the record that breaks it, and nothing else is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text

from hermod.contracts import ids
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Status, Submission
from hermod.contracts.notifications.outcomes import MessageRejected
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from hermod.ports.notifications.ledger import Decision, Intent, Result
from hermod.storage.database.engine import Database
from hermod.storage.notifications.acceptance import Acceptance, Draft, Ready
from hermod.storage.notifications.ledger import SqlLedger
from hermod.storage.operations.promises import Promises
from hermod.storage.operations.workers import Workers
from hermod.storage.secrets.contents import Contents
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.tenants import Tenants
from tests.support.webhooks.rows import WebhookRows

SHOP: Final = "shop"
OWNER: Final = "message/shop/x"
HOUR_AGO: Final = "now() - interval '1 hour'"
SECOND_ATTEMPT: Final = """
    INSERT INTO attempts (tenant_id, message_id, number, round, account, provider, shared, started_at, outcome)
    SELECT tenant_id, message_id, 2, 1, account, provider, shared, now(), 'transient' FROM attempts WHERE number = 1;
    UPDATE messages SET attempt_count = 2
"""
SECOND_REQUEST: Final = """
    INSERT INTO webhook_attempts (tenant_id, delivery_id, number, started_at, outcome)
    SELECT tenant_id, delivery_id, 2, now(), 'timeout' FROM webhook_attempts WHERE number = 1;
    UPDATE webhook_deliveries SET attempt_count = 2
"""


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    own = Database(database_url)
    yield own
    await own.close()


async def found(database: Database, kind: str) -> list[tuple[str, str]]:
    """What is broken, and by which record."""
    audit = await Promises(database, frozenset()).audit(now(), since=now() - timedelta(days=1))
    return [(name.promise, one.id) for name, some in audit.items() if name.kind == kind for one in some]


async def change(database: Database, statements: str, **names: Any) -> None:
    for statement in statements.split(";"):
        await database.execute(text(statement), names)


async def dead_letter(database: Database) -> str:
    """A message that its provider refused."""
    await Tenants(database).create(SHOP, SHOP, now())
    contents = Contents(database, Vault(Vault.new_key()), 30)
    content = Email(to="ada@example.com", subject="Hello", text="Hello")
    own = ids.message_id()
    ready = Ready(Submission(content=content), content)
    await Acceptance(database, contents).take(SHOP, [Draft(own, OWNER, None, ready)], now())
    ledger = SqlLedger(database, contents, Workers(database))
    route = Decision(kind="route", verdict="main", reason="first in order")
    asked = Intent(message=own, number=1, round=1, account="main", provider="sandbox", decision=route)
    await ledger.grant(SHOP, OWNER, [asked], now())
    refused = Result(
        message=own,
        number=1,
        account="main",
        outcome=MessageRejected(error_code="invalid", error="no such thing"),
        duration_ms=5,
        status=Status.FAILED,
        round=1,
        spent=1,
        next_attempt_at=None,
        decision=Decision(kind="end", verdict="failed", reason="the provider refuses it"),
    )
    await ledger.record(SHOP, "run-1", [refused], now())
    return own


@pytest.mark.parametrize(
    ("promise", "statements"),
    [
        (None, "SELECT 1"),
        ("reason", "DELETE FROM decisions WHERE kind = 'end'"),
        ("finished", "UPDATE messages SET finished_at = NULL"),
        ("attempt_numbers", "UPDATE messages SET attempt_count = 5"),
        ("two_under_way", f"UPDATE attempts SET outcome = NULL; {SECOND_ATTEMPT}"),
        ("silent_repeat", f"UPDATE attempts SET outcome = 'accepted'; {SECOND_ATTEMPT}"),
        (
            "silent_repeat",
            "UPDATE attempts SET outcome = 'accepted', late_at = now(); UPDATE messages SET late_success_number = 1;"
            + SECOND_ATTEMPT,
        ),
        (
            None,
            "UPDATE attempts SET outcome = 'accepted', late_at = now(); UPDATE messages SET late_success_number = 2;"
            + SECOND_ATTEMPT,
        ),
        (
            "at_most_once",
            "UPDATE messages SET guarantee = 'at_most_once'; UPDATE attempts SET outcome = 'unknown';" + SECOND_ATTEMPT,
        ),
        ("sent_unproven", "UPDATE messages SET status = 'sent'"),
        (
            "no_owner",
            f"UPDATE messages SET status = 'retrying', finished_at = NULL, updated_at = {HOUR_AGO},"
            f" next_attempt_at = {HOUR_AGO}",
        ),
        (
            None,
            f"UPDATE messages SET status = 'retrying', finished_at = NULL, updated_at = {HOUR_AGO},"
            " next_attempt_at = now() + interval '1 hour'",
        ),
        (
            "sending",
            f"UPDATE attempts SET outcome = NULL, ends_by = {HOUR_AGO};"
            f" UPDATE messages SET status = 'sending', finished_at = NULL, updated_at = now() - interval '20 minutes'",
        ),
    ],
)
async def test_promise_about_a_message_is_broken_and_found(
    database: Database, promise: str | None, statements: str
) -> None:
    own = await dead_letter(database)
    await change(database, statements)
    assert await found(database, "message") == ([] if promise is None else [(promise, own)])


class Line:
    """Queued deliveries of an endpoint, in the order in which they came, that nobody has touched for an hour."""

    def __init__(self, database: Database, rows: WebhookRows) -> None:
        self._database = database
        self._rows = rows

    @classmethod
    async def make(cls, database: Database) -> Line:
        await Tenants(database).create(SHOP, SHOP, now())
        return cls(database, await WebhookRows.make(database, SHOP, now() - timedelta(hours=1)))

    async def add(self, *, owner: str | None = None, **columns: Any) -> str:
        own = await self._rows.add(DeliveryStatus.QUEUED)
        if owner is not None:
            columns["workflow_id"] = f"{owner}/{SHOP}/{self._rows.endpoint}"
        for column, value in columns.items():
            await change(
                self._database, f"UPDATE webhook_deliveries SET {column} = :value WHERE id = :id", id=own, value=value
            )
        return own


async def test_deliveries_that_nobody_looks_after_are_found(database: Database) -> None:
    line = await Line.make(database)
    lone = [await line.add(), await line.add()]
    assert await found(database, "webhook") == [("no_owner", one) for one in lone]


async def test_deliveries_behind_one_that_moves_are_not_forgotten(database: Database) -> None:
    line = await Line.make(database)
    await line.add(owner="webhook-endpoint", finished_at=now(), status="delivered", updated_at=now())
    await line.add(owner="webhook-endpoint")
    await line.add(owner="webhook-order", order_key="key", finished_at=now(), status="delivered", updated_at=now())
    await line.add(owner="webhook-order", order_key="key")
    assert await found(database, "webhook") == []


@pytest.mark.parametrize("owner", ["webhook-endpoint", "webhook-order"])
async def test_line_that_stands_still_is_found_by_its_first(database: Database, owner: str) -> None:
    line = await Line.make(database)
    key = "key" if owner == "webhook-order" else None
    first = await line.add(owner=owner, order_key=key)
    await line.add(owner=owner, order_key=key)
    assert await found(database, "webhook") == [("no_owner", first)]


@pytest.mark.parametrize(
    ("promise", "statements"),
    [
        ("attempt_numbers", "UPDATE webhook_deliveries SET attempt_count = 3"),
        ("two_under_way", f"UPDATE webhook_attempts SET outcome = NULL; {SECOND_REQUEST}"),
        ("finished", "UPDATE webhook_deliveries SET status = 'delivered', finished_at = NULL, updated_at = now()"),
        (
            "sending",
            f"UPDATE webhook_attempts SET outcome = NULL, ends_by = {HOUR_AGO};"
            " UPDATE webhook_deliveries SET status = 'sending', updated_at = now() - interval '20 minutes'",
        ),
    ],
)
async def test_promise_about_a_delivery_is_broken_and_found(database: Database, promise: str, statements: str) -> None:
    line = await Line.make(database)
    own = await line.add(attempt_count=1, updated_at=now())
    attempt = """
        INSERT INTO webhook_attempts (tenant_id, delivery_id, number, started_at, outcome)
        VALUES (:tenant, :id, 1, now(), 'timeout')
    """
    await change(database, attempt, tenant=SHOP, id=own)
    assert await found(database, "webhook") == []
    await change(database, statements)
    assert await found(database, "webhook") == [(promise, own)]
