"""`hermod.ports.notifications.ledger.Ledger` on PostgreSQL. The statements are in
`hermod.storage.notifications.ledger_statements`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Row

from hermod.contracts.notifications.content import CONTENT_OF, Channel
from hermod.contracts.notifications.delivery import Attempt
from hermod.contracts.notifications.messages import Category, Guarantee, Outcome, Status
from hermod.contracts.notifications.outcomes import Accepted
from hermod.contracts.values.addresses import TRUSTED
from hermod.domain.notifications.recipients import fingerprint, in_copy, without_copies
from hermod.domain.states import OPEN
from hermod.ports.notifications.ledger import Change, Ending, InFlight, Intent, Item, Result
from hermod.storage.database.engine import Database
from hermod.storage.database.readable import each
from hermod.storage.notifications.ledger_statements import (
    ANY_DEAD,
    CHANGE,
    COPIED,
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
    LEFT_SENDING,
    LOG_LATE,
    MOVE_LATE,
    RECORD,
    REOPEN,
    TRANSFER,
    UNDER_WAY,
    WITHDRAW,
)
from hermod.storage.operations.attempts import attempts_of
from hermod.storage.operations.workers import Workers, lost_requests
from hermod.storage.secrets.contents import Contents
from hermod.storage.tenants.retry_defaults import retry_of

_FREE_OUTCOMES: Final = (Outcome.THROTTLED.value, Outcome.ACCOUNT_HALTED.value)
"""Outcomes that do not make a round count."""


class SqlLedger:
    def __init__(self, database: Database, contents: Contents, workers: Workers) -> None:
        self._database = database
        self._contents = contents
        self._workers = workers

    async def open_items(self, tenant: str, owner: str, run: str, messages: Sequence[str], now: datetime) -> list[Item]:
        names = {"tenant": tenant, "owner": owner, "ids": list(messages), "now": now}
        rows = await self._database.rows(FETCH, names)
        if len(rows) < len(messages) and await self._database.rows(ANY_DEAD, names | {"run": run}):
            await self._database.execute(REOPEN, names | {"run": run})
            rows = await self._database.rows(FETCH, names)
        if left := [row.id for row in rows if row.status == Status.SENDING and _open_request(row) is None]:
            await self._database.execute(LEFT_SENDING, names | {"ids": left})
            rows = await self._database.rows(FETCH, names)
        if empty := [row.id for row in rows if row.body is None]:
            await self._database.execute(END_EMPTY, names | {"run": run, "ids": empty})
            rows = [row for row in rows if row.body is not None]
        living = await self._workers.living({asked.worker for row in rows if (asked := _open_request(row)) is not None})
        unseal = await self._contents.opening(tenant)
        items, broken = each("message", rows, lambda row: _item(row, unseal(row.id, row.body), living))
        if broken:
            await self._end_unreadable(names | {"run": run}, [row for row in rows if row.id in broken], broken, living)
        copied = {fingerprint(Channel.EMAIL, address) for item in items for address in in_copy(item.content)}
        if copied:
            asked_for = {"tenant": tenant, "hashes": sorted(copied), "now": now}
            suppressed = {
                (bytes(row.hash), row.category): row.reason for row in await self._database.rows(COPIED, asked_for)
            }
            for item in items:
                _leave_out(item, suppressed)
        return items

    async def grant(self, tenant: str, owner: str, intents: Sequence[Intent], now: datetime) -> set[str]:
        if not intents:
            return set()
        rows = await self._database.rows(
            GRANT,
            {
                "tenant": tenant,
                "owner": owner,
                "now": now,
                "worker": self._workers.number,
                "ids": [intent.message for intent in intents],
                "numbers": [intent.number for intent in intents],
                "rounds": [intent.round for intent in intents],
                "accounts": [intent.account for intent in intents],
                "providers": [intent.provider for intent in intents],
                "shared": [intent.shared for intent in intents],
                "ends_by": [intent.ends_by for intent in intents],
                "revisions": [intent.account_revision for intent in intents],
            }
            | _decisions(intents),
        )
        return {row.id for row in rows}

    async def record(self, tenant: str, run: str, results: Sequence[Result], now: datetime) -> set[str]:
        if not results:
            return set()
        names = {"tenant": tenant, "run": run, "now": now}
        rows = await self._database.rows(RECORD, names | _results(results))
        logged = {row.id for row in rows}
        if late := [result for result in results if result.message not in logged]:
            await self._record_late(names, late)
        return {row.id for row in rows if row.moved}

    async def change(self, tenant: str, owner: str, run: str, changes: Sequence[Change], now: datetime) -> set[str]:
        if not changes:
            return set()
        parameters: dict[str, Any] = {
            "tenant": tenant,
            "owner": owner,
            "run": run,
            "now": now,
            "ids": [change.message for change in changes],
            "numbers": [change.number for change in changes],
            "statuses": [change.status.value for change in changes],
            "next_at": [change.next_attempt_at for change in changes],
            "rounds": [change.round for change in changes],
            "spent": [change.spent for change in changes],
            "waits": [change.wait_reason for change in changes],
            "error_codes": [change.error_code for change in changes],
            "errors": [change.error for change in changes],
            "closed": [change.status not in OPEN for change in changes],
        }
        return {row.id for row in await self._database.rows(CHANGE, parameters | _decisions(changes))}

    async def counts(self, tenant: str, messages: Sequence[str]) -> Mapping[Status, int]:
        rows = await self._database.rows(COUNTS, {"tenant": tenant, "ids": list(messages)})
        return {Status(row.status): row.n for row in rows}

    async def endings(self, tenant: str, messages: Sequence[str]) -> Mapping[Ending, int]:
        rows = await self._database.rows(ENDINGS, {"tenant": tenant, "ids": list(messages)})
        return {Ending(row.account, row.outcome, row.status_code, row.error_code): row.n for row in rows}

    async def last_attempts(self, tenant: str, message: str, count: int) -> Sequence[Attempt]:
        rows = await self._database.rows(LAST_ATTEMPTS, {"tenant": tenant, "id": message, "count": count})
        return attempts_of(rows)

    async def given_up(self, tenant: str, messages: Sequence[str], count: int) -> Sequence[str]:
        names = {"tenant": tenant, "ids": list(messages), "count": count}
        return [row.id for row in await self._database.rows(GIVEN_UP, names)]

    async def transfer_ownership(self, tenant: str, owner: str, messages: Mapping[str, int]) -> None:
        names = {"tenant": tenant, "owner": owner, "ids": list(messages), "numbers": list(messages.values())}
        await self._database.execute(TRANSFER, names)

    async def handed_off(self, tenant: str, owner: str, messages: Sequence[str]) -> Mapping[str, datetime | None]:
        rows = await self._database.rows(HANDED_OFF, {"tenant": tenant, "owner": owner, "ids": list(messages)})
        return {row.id: row.next_attempt_at for row in rows}

    async def hand_over(self, tenant: str, owner: str, messages: Sequence[str]) -> None:
        await self._database.execute(HAND_OVER, {"tenant": tenant, "owner": owner, "ids": list(messages)})

    async def withdraw(self, tenant: str, owner: str, messages: Sequence[str], reason: str, now: datetime) -> int:
        names = {"tenant": tenant, "owner": owner, "ids": list(messages), "reason": reason, "now": now}
        await self._database.execute(WITHDRAW, names)
        under_way = await self._database.rows(UNDER_WAY, names)
        lost = await lost_requests(self._workers, under_way)
        if lost:
            numbers = {"ids": [row.id for row in lost], "numbers": [row.number for row in lost]}
            await self._database.execute(END_LOST, names | numbers)
        return len(under_way) - len(lost)

    async def _end_unreadable(
        self, names: Mapping[str, Any], rows: Sequence[Row[Any]], broken: Mapping[str, str], living: Collection[int]
    ) -> None:
        """They end with their reason. A request under way comes to its end first, unless its worker is lost."""
        reasons = {id: f"the record cannot be read as it is stored: {reason}" for id, reason in broken.items()}
        await self._database.execute(END_UNREADABLE, {**names, "ids": list(reasons), "reasons": list(reasons.values())})
        for row in rows:
            asked = _open_request(row)
            if row.status == Status.SENDING and (asked is None or asked.over or asked.worker not in living):
                ending = {"otherwise": "failed", "code": "unreadable", "reason": reasons[row.id]}
                numbers = {"ids": [row.id], "numbers": [row.attempt_count]}
                await self._database.execute(END_LOST, {**names, **numbers, **ending})

    async def _record_late(self, names: Mapping[str, Any], results: Sequence[Result]) -> None:
        """Outcomes of requests that were called lost: into the log, and to the messages that wait for word of them.

        What was logged already, by a call whose answer never came, changes nothing.
        """
        parameters = {**names, **_results(results)}
        async with self._database.begin() as connection:
            late = [row.message_id for row in await connection.execute(LOG_LATE, parameters)]
            if late:
                await connection.execute(KNOW_LATE, parameters | {"late": late})
                await connection.execute(MOVE_LATE, parameters | {"late": late})


class _Asked(NamedTuple):
    """A request as `FETCH` tells of it."""

    account: str
    outcome: str | None
    number: int
    round: int
    shared: bool
    started: float
    worker: int | None
    over: bool
    """Its own deadline has passed."""
    account_revision: int | None
    ends_by: str | None


def _open_request(row: Row[Any]) -> _Asked | None:
    """The message's newest request, where its outcome is not on record."""
    asked = _Asked(*row.asked[-1]) if row.asked else None
    return asked if asked is not None and asked.outcome is None and asked.number == row.attempt_count else None


def _item(row: Row[Any], body: bytes, living: Collection[int]) -> Item:
    """`living`: the workers that are there."""
    channel = Channel(row.channel)
    item = Item(
        id=row.id,
        channel=channel,
        status=Status(row.status),
        content=CONTENT_OF[channel].model_validate_json(body, context=TRUSTED),
        category=Category(row.category),
        guarantee=Guarantee(row.guarantee),
        retry=retry_of(row.preset if row.waits is None else row.waits),
        retry_is_own=row.retry_from in (None, "message"),
        requested_account=row.requested_account,
        request_id=row.request_id,
        not_after=row.not_after,
        next_attempt_at=row.next_attempt_at,
        attempts=row.attempt_count,
        round=row.round,
        spent=row.spent,
        wait_reason=row.wait_reason,
        priority=row.priority,
        suppressed=row.suppressed,
    )
    for asked in (_Asked(*one) for one in row.asked or ()):
        if asked.outcome == Outcome.UNKNOWN.value:
            item.doubtful, item.doubtful_revision = asked.account, asked.account_revision
            item.doubtful_since = item.doubtful_since or datetime.fromtimestamp(asked.started, UTC)
        if asked.outcome is None and asked.number == item.attempts:
            lost = asked.over or asked.worker not in living
            item.in_flight = InFlight(
                account=asked.account,
                account_revision=asked.account_revision,
                shared=asked.shared,
                lost=lost,
                ends_by=datetime.fromisoformat(asked.ends_by) if asked.ends_by else None,
            )
        elif asked.round == item.round:
            item.tried.add(asked.account)
            item.spending = item.spending or asked.outcome not in _FREE_OUTCOMES
    return item


def _leave_out(item: Item, suppressed: Mapping[tuple[bytes, str], str]) -> None:
    """Take those in copy out of the mail who get no messages of its category."""
    gone: dict[str, str] = {}
    for address in in_copy(item.content):
        hash_ = fingerprint(Channel.EMAIL, address)
        reason = suppressed.get((hash_, "*")) or suppressed.get((hash_, item.category.value))
        if reason is not None:
            gone[address] = reason
    if gone:
        item.content = without_copies(item.content, gone)
        item.left_out = f"{len(gone)} in copy left out: {', '.join(sorted(set(gone.values())))}"


def _results(results: Sequence[Result]) -> dict[str, Any]:
    outcomes = [result.outcome for result in results]
    columns: dict[str, Any] = {
        "ids": [result.message for result in results],
        "numbers": [result.number for result in results],
        "outcomes": [outcome.kind.value for outcome in outcomes],
        "status_codes": [outcome.status_code for outcome in outcomes],
        "error_codes": [outcome.error_code for outcome in outcomes],
        "errors": [outcome.error for outcome in outcomes],
        "provider_ids": [outcome.provider_id if isinstance(outcome, Accepted) else None for outcome in outcomes],
        "durations": [result.duration_ms for result in results],
        "statuses": [result.status.value for result in results],
        "rounds": [result.round for result in results],
        "spent": [result.spent for result in results],
        "next_at": [result.next_attempt_at for result in results],
        "closed": [result.status not in OPEN for result in results],
    }
    return columns | _decisions(results)


def _decisions(steps: Sequence[Intent | Result | Change]) -> dict[str, Any]:
    decided = [(step.message, step.decision) for step in steps if step.decision is not None]
    return {
        "d_ids": [message for message, _ in decided],
        "d_kinds": [decision.kind for _, decision in decided],
        "d_verdicts": [decision.verdict for _, decision in decided],
        "d_reasons": [decision.reason for _, decision in decided],
    }
