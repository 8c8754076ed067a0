"""`hermod.ports.webhooks.ledger.WebhookLedger` on PostgreSQL. The statements are in
`hermod.storage.webhooks.ledger_statements`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row

from hermod.contracts.notifications.delivery import Attempt
from hermod.contracts.values.scalars import sendable
from hermod.contracts.webhooks.deliveries import OPEN_DELIVERIES, DeliveryStatus
from hermod.ports.notifications.ledger import Ending, InFlight
from hermod.ports.webhooks.ledger import DeliveryItem, Exchange, HandedOff, WebhookChange, WebhookIntent, WebhookResult
from hermod.storage.database.engine import Database
from hermod.storage.database.readable import each
from hermod.storage.operations.attempts import attempts_of
from hermod.storage.operations.workers import Workers, lost_requests
from hermod.storage.secrets.contents import Contents, Seal
from hermod.storage.webhooks.ledger_statements import (
    ANY_DEAD,
    CHANGE,
    COUNTS,
    END_EMPTY,
    END_LOST,
    END_UNREADABLE,
    ENDINGS,
    FETCH,
    GIVEN_UP,
    GRANT,
    HAND_OVER,
    HANDED_OFF,
    KNOW_LATE,
    LAST_ATTEMPTS,
    LOG_LATE,
    MOVE_LATE,
    RECORD,
    REOPEN,
    TRANSFER,
    UNDER_WAY,
    WITHDRAW,
)


class SqlWebhookLedger:
    def __init__(self, database: Database, contents: Contents, workers: Workers) -> None:
        self._database = database
        self._contents = contents
        self._workers = workers

    async def open_items(
        self, tenant: str, owner: str, run: str, deliveries: Sequence[str], now: datetime
    ) -> list[DeliveryItem]:
        names = {"tenant": tenant, "owner": owner, "ids": list(deliveries), "now": now}
        rows = await self._database.rows(FETCH, names)
        if len(rows) < len(deliveries) and await self._database.rows(ANY_DEAD, names | {"run": run}):
            await self._database.execute(REOPEN, names | {"run": run})
            rows = await self._database.rows(FETCH, names)
        if empty := [row.id for row in rows if row.body is None]:
            await self._database.execute(END_EMPTY, names | {"run": run, "ids": empty})
            rows = [row for row in rows if row.body is not None]
        living = await self._workers.living({row.asked[0] for row in rows if row.asked})
        unseal = await self._contents.opening(tenant)
        items, broken = each("delivery", rows, lambda row: _item(row, unseal(row.event_id, row.body), living))
        if broken:
            await self._end_unreadable(names | {"run": run}, [row for row in rows if row.id in broken], broken, living)
        return items

    async def grant(self, tenant: str, owner: str, intents: Sequence[WebhookIntent], now: datetime) -> set[str]:
        names = {
            "tenant": tenant,
            "owner": owner,
            "now": now,
            "worker": self._workers.number,
            "ids": [intent.delivery for intent in intents],
            "numbers": [intent.number for intent in intents],
            "ends_by": [intent.ends_by for intent in intents],
        }
        return {row.id for row in await self._database.rows(GRANT, names)} if intents else set()

    async def record(self, tenant: str, run: str, results: Sequence[WebhookResult], now: datetime) -> set[str]:
        if not results:
            return set()
        seal = await self._contents.sealing(tenant)
        names = {"tenant": tenant, "run": run, "now": now}
        rows = await self._database.rows(RECORD, names | _results(results, seal))
        logged = {row.id for row in rows}
        if late := [result for result in results if result.delivery not in logged]:
            await self._record_late(names | _results(late, seal))
        return {row.id for row in rows if row.moved}

    async def change(self, tenant: str, owner: str, changes: Sequence[WebhookChange], now: datetime) -> set[str]:
        if not changes:
            return set()
        names: dict[str, Any] = {
            "tenant": tenant,
            "owner": owner,
            "now": now,
            "ids": [change.delivery for change in changes],
            "numbers": [change.number for change in changes],
            "statuses": [change.status.value for change in changes],
            "next_at": [change.next_attempt_at for change in changes],
            "waits": [change.wait_reason for change in changes],
            "errors": [change.error for change in changes],
            "closed": [change.status not in OPEN_DELIVERIES for change in changes],
        }
        return {row.id for row in await self._database.rows(CHANGE, names)}

    async def counts(self, tenant: str, deliveries: Sequence[str]) -> Mapping[DeliveryStatus, int]:
        rows = await self._database.rows(COUNTS, {"tenant": tenant, "ids": list(deliveries)})
        return {DeliveryStatus(row.status): row.n for row in rows}

    async def endings(self, tenant: str, deliveries: Sequence[str]) -> Mapping[Ending, int]:
        rows = await self._database.rows(ENDINGS, {"tenant": tenant, "ids": list(deliveries)})
        return {Ending("", row.outcome, row.status_code): row.n for row in rows}

    async def last_attempts(self, tenant: str, delivery: str, count: int) -> Sequence[Attempt]:
        rows = await self._database.rows(LAST_ATTEMPTS, {"tenant": tenant, "id": delivery, "count": count})
        return attempts_of(rows)

    async def given_up(self, tenant: str, deliveries: Sequence[str], count: int) -> Sequence[str]:
        names = {"tenant": tenant, "ids": list(deliveries), "count": count}
        return [row.id for row in await self._database.rows(GIVEN_UP, names)]

    async def transfer_ownership(
        self, tenant: str, owner: str, deliveries: Mapping[str, int], owners: Mapping[str, str]
    ) -> None:
        names = {
            "tenant": tenant,
            "owner": owner,
            "ids": list(deliveries),
            "numbers": list(deliveries.values()),
            "owners": [owners[delivery] for delivery in deliveries],
        }
        await self._database.execute(TRANSFER, names)

    async def handed_off(self, tenant: str, owner: str, deliveries: Sequence[str]) -> Sequence[HandedOff]:
        rows = await self._database.rows(HANDED_OFF, {"tenant": tenant, "owner": owner, "ids": list(deliveries)})
        return [
            HandedOff(row.id, row.endpoint_id, row.workflow_id, row.next_attempt_at, row.attempt_count) for row in rows
        ]

    async def hand_over(self, tenant: str, owner: str, deliveries: Sequence[str], to: str) -> None:
        await self._database.execute(HAND_OVER, {"tenant": tenant, "owner": owner, "ids": list(deliveries), "to": to})

    async def withdraw(self, tenant: str, owner: str, deliveries: Sequence[str], now: datetime) -> int:
        names = {"tenant": tenant, "owner": owner, "ids": list(deliveries), "now": now}
        await self._database.execute(WITHDRAW, names)
        under_way = await self._database.rows(UNDER_WAY, names)
        lost = await lost_requests(self._workers, under_way)
        if lost:
            numbers = {"ids": [row.id for row in lost], "numbers": [row.number for row in lost]}
            ending = {"otherwise": "cancelled", "run": None, "reason": "cancelled after its worker was lost"}
            await self._database.execute(END_LOST, names | numbers | ending)
        return len(under_way) - len(lost)

    async def _end_unreadable(
        self, names: Mapping[str, Any], rows: Sequence[Row[Any]], broken: Mapping[str, str], living: Collection[int]
    ) -> None:
        """They end with their reason. A request under way comes to its end first, unless its worker is lost."""
        reasons = {id: f"the record cannot be read as it is stored: {reason}" for id, reason in broken.items()}
        await self._database.execute(END_UNREADABLE, {**names, "ids": list(reasons), "reasons": list(reasons.values())})
        for row in rows:
            worker, over = row.asked or (None, False)
            if row.status == DeliveryStatus.SENDING and (over or worker not in living):
                ending = {"otherwise": "failed", "reason": reasons[row.id]}
                numbers = {"ids": [row.id], "numbers": [row.attempt_count]}
                await self._database.execute(END_LOST, {**names, **numbers, **ending})

    async def _record_late(self, parameters: Mapping[str, Any]) -> None:
        """Outcomes of requests that were called lost. What is logged already changes nothing."""
        async with self._database.begin() as connection:
            late = [row.delivery_id for row in await connection.execute(LOG_LATE, parameters)]
            if late:
                await connection.execute(KNOW_LATE, {**parameters, "late": late})
                await connection.execute(MOVE_LATE, {**parameters, "late": late})


def answer_name(delivery: str, number: int) -> str:
    """What the seal of an attempt's answer is bound to."""
    return f"{delivery}/{number}"


def _item(row: Row[Any], body: bytes, living: Collection[int]) -> DeliveryItem:
    """`living`: the workers that are there."""
    return DeliveryItem(
        id=row.id,
        endpoint_id=row.endpoint_id,
        event_id=row.event_id,
        event_type=row.event_type,
        body=body,
        status=DeliveryStatus(row.status),
        attempts=row.attempt_count,
        spent=row.spent,
        next_attempt_at=row.next_attempt_at,
        wait_reason=row.wait_reason,
        request_id=row.request_id,
        order_key=row.order_key,
        endpoint_revision=row.revision or 0,
        in_flight=_in_flight(row.asked or (None, False, None), living) if row.in_flight else None,
    )


def _in_flight(asked: tuple[int | None, bool, str | None], living: Collection[int]) -> InFlight:
    worker, over, ends_by = asked
    return InFlight(
        lost=over or worker not in living, ends_by=datetime.fromisoformat(ends_by) if ends_by is not None else None
    )


def _results(results: Sequence[WebhookResult], seal: Seal) -> dict[str, Any]:
    exchanges = [result.exchange for result in results]
    return {
        "ids": [result.delivery for result in results],
        "numbers": [result.number for result in results],
        "outcomes": [exchange.outcome for exchange in exchanges],
        "status_codes": [exchange.status_code for exchange in exchanges],
        "errors": [None if exchange.error is None else sendable(exchange.error) for exchange in exchanges],
        "addresses": [exchange.address for exchange in exchanges],
        "exchanges": [_facts(exchange) for exchange in exchanges],
        "bodies": [_answer(result, seal) for result in results],
        "truncated": [exchange.truncated for exchange in exchanges],
        "durations": [exchange.duration_ms for exchange in exchanges],
        "statuses": [result.status.value for result in results],
        "spent": [result.spent for result in results],
        "next_at": [result.next_attempt_at for result in results],
        "waits": [result.wait_reason for result in results],
        "closed": [result.status not in OPEN_DELIVERIES for result in results],
    }


def _facts(exchange: Exchange) -> str | None:
    """Headers and phases as JSON; None where no request is known to have been made."""
    if not exchange.request_headers:
        return None
    facts = {
        "request_headers": _plain(exchange.request_headers),
        "response_headers": _plain(exchange.response_headers),
        "phases": exchange.phases.model_dump(),
    }
    return orjson.dumps(facts).decode()


def _plain(headers: Mapping[str, str]) -> dict[str, str]:
    return {sendable(name): sendable(value) for name, value in headers.items()}


def _answer(result: WebhookResult, seal: Seal) -> bytes | None:
    """The answer's beginning, after a byte that tells it from an encrypted one whatever a receiver sends."""
    body = result.exchange.body
    return seal(answer_name(result.delivery, result.number), b"\0" + body) if body else None
