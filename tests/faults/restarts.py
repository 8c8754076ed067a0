"""A fault under load, and the account of it: what was accepted, what became of it, which promises were broken."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import TextClause, text

from benchmarks.soak.census import orphaned
from benchmarks.soak.verdict import Records, judge
from hermod.contracts.errors import Unavailable
from tests.faults.restart_load import Load
from tests.faults.restart_product import Product
from tests.faults.table import RESTART

SETTLED_WITHIN: Final = 150.0
"""Seconds after the fault has ended, in which everything ends but what waits for its time or its endpoint."""
OWNED_WITHIN: Final = 120.0
"""Seconds after the fault has ended, in which what is open has a workflow again."""
ANSWERED_WITHIN: Final = 60.0
LOOK_EVERY: Final = 0.25

# What was due when the fault ended and has not been begun since, and requests of that time that nobody has recorded.
# What has a reason to wait (a rate, a pause, an endpoint that fails) is somebody's; the settling sees whether it is.
_HELD_UP: Final = text("""
    SELECT (SELECT count(*) FROM messages m WHERE m.tenant_id = :tenant AND m.finished_at IS NULL
              AND m.created_at <= :moment
              AND CASE WHEN m.status = 'sending'
                       THEN EXISTS (SELECT 1 FROM attempts a WHERE a.tenant_id = m.tenant_id AND a.message_id = m.id
                                     AND a.outcome IS NULL AND a.started_at <= :moment)
                       ELSE m.wait_reason IS NULL
                            AND coalesce(m.next_attempt_at, m.send_at, m.created_at) <= :moment END) AS messages,
           (SELECT count(*) FROM webhook_deliveries d WHERE d.tenant_id = :tenant AND d.finished_at IS NULL
              AND d.created_at <= :moment AND d.endpoint_id <> :failing
              AND CASE WHEN d.status = 'sending'
                       THEN EXISTS (SELECT 1 FROM webhook_attempts a
                                     WHERE a.tenant_id = d.tenant_id AND a.delivery_id = d.id
                                       AND a.outcome IS NULL AND a.started_at <= :moment)
                       ELSE d.wait_reason IS NULL
                            AND coalesce(d.next_attempt_at, d.created_at) <= :moment END) AS deliveries,
           (SELECT count(*) FROM form_submissions WHERE tenant_id = :tenant AND finished_at IS NULL
              AND created_at <= :moment) AS submissions,
           (SELECT count(*) FROM event_batches WHERE tenant_id = :tenant AND created_at <= :moment) AS event_batches
""")
_UNDONE: Final = text("""
    SELECT (SELECT count(*) FROM messages WHERE tenant_id = :tenant AND finished_at IS NULL
              AND (status = 'sending' OR next_attempt_at IS NULL OR next_attempt_at <= :horizon)
              AND (status <> 'scheduled' OR send_at <= :horizon)) AS messages,
           (SELECT count(*) FROM webhook_deliveries WHERE tenant_id = :tenant AND finished_at IS NULL
              AND CASE WHEN endpoint_id = :failing THEN status IN ('pending', 'sending')
                       ELSE status = 'sending' OR next_attempt_at IS NULL
                            OR next_attempt_at <= :horizon END) AS deliveries,
           (SELECT count(*) FROM form_submissions WHERE tenant_id = :tenant AND finished_at IS NULL) AS submissions,
           (SELECT count(*) FROM event_batches WHERE tenant_id = :tenant) AS event_batches
""")
_ATTEMPTS: Final = text("""
    SELECT a.message_id AS id, a.outcome, a.status_code, a.error_code AS code, a.worker, m.status,
           a.number = m.attempt_count AS last, m.guarantee
      FROM attempts a JOIN messages m ON m.tenant_id = a.tenant_id AND m.id = a.message_id
     WHERE a.tenant_id = :tenant ORDER BY a.message_id, a.number
""")
_WEBHOOK_ATTEMPTS: Final = text("""
    SELECT delivery_id AS id, outcome, status_code, outcome AS code, worker FROM webhook_attempts
     WHERE tenant_id = :tenant ORDER BY delivery_id, number
""")
_STORED: Final = text("""
    SELECT (SELECT array_agg(id) FROM messages WHERE tenant_id = :tenant) AS messages,
           (SELECT array_agg(id) FROM webhook_deliveries WHERE tenant_id = :tenant
              AND event_type LIKE 'order.%') AS deliveries,
           (SELECT array_agg(id) FROM form_submissions WHERE tenant_id = :tenant) AS submissions
""")
_NEVER_LEFT: Final = frozenset({"not_started", "not_made", "connect"})


@dataclass(kw_only=True)
class Account:
    """What is left to tell when nothing moves any more."""

    broken: list[str]
    accepted: dict[str, int]
    ended: dict[str, Counter[str]]
    """How messages, deliveries, submissions and events ended."""
    lost: int
    repeated: Counter[str]
    """Requests that came after an earlier one of theirs had been taken, by what that one was called."""
    unknown: int
    """Messages that ended as `unknown`."""
    answers: str
    recovered: str
    """Seconds from the end of the fault until everything that it held up was begun again, and what was the last."""


async def recovered(product: Product, ended_at: datetime) -> str:
    """Seconds after the fault has ended, until nothing that it held up is left, and what was left last.

    Raises AssertionError where it takes longer than `SETTLED_WITHIN`.
    """
    last: Mapping[str, int] = {}
    while True:
        seconds = (datetime.now(UTC) - ended_at).total_seconds()
        assert seconds < SETTLED_WITHIN, f"still held up: {_listed(last)}"
        left = await _left(product, _HELD_UP, moment=ended_at, failing=product.endpoints["failing"])
        if not left:
            break
        last = left
        await asyncio.sleep(LOOK_EVERY)
    return f"{seconds:.0f}" + (f" ({', '.join(last).replace('_', ' ')})" if last else "")


async def settled(product: Product, horizon: datetime) -> list[str]:
    """Wait until all has ended but what is due after the horizon; what is left undone too late."""
    begun = time.monotonic()
    while True:
        left = await _left(product, _UNDONE, horizon=horizon, failing=product.endpoints["failing"])
        if not left:
            return []
        if time.monotonic() - begun > SETTLED_WITHIN:
            return [f"{number} {what} are undone" for what, number in left.items()]
        await asyncio.sleep(LOOK_EVERY)


async def _left(product: Product, statement: TextClause, **names: Any) -> Mapping[str, int]:
    """The counts that are not zero; of a database that does not answer, that it does not."""
    try:
        row = (await _rows(product, statement, **names))[0]
    except Unavailable:
        return {"database": 1}
    return {name: number for name, number in row._mapping.items() if number}


async def account(product: Product, load: Load, ended_at: datetime, after: str, undone: list[str]) -> Account:
    """Look for the owners of what is open, stop everything, and compare all records."""
    since = (datetime.now(UTC) - ended_at).total_seconds()
    broken = undone + await orphaned(product.observer, product.temporal, max(5.0, OWNED_WITHIN - since))
    broken += await product.stop()
    broken += [f"{number} × an answer that was not due: {what}" for what, number in load.answers.unexpected.items()]
    broken += [f"{number} × no answer in the end: {what}" for what, number in load.answers.given_up.items()]
    records = Records(product.observer, product.sandbox, product.endpoints, product.received)
    judged, counts = await judge(records, load.accepted)
    broken += [line for lines in judged.values() for line in lines]
    messages = await _rows(product, _ATTEMPTS)
    deliveries = await _rows(product, _WEBHOOK_ATTEMPTS)
    requests = await _sandbox_requests(product)
    broken += [*_unlike(messages, requests), *_unlike(deliveries, product.received.requests)]
    broken += _wrongly_unknown(product, messages, deliveries)
    broken += await _untold(product, load, counts["submissions"]["completed"])
    broken += await _audited(product)
    answers = load.answers
    return Account(
        broken=broken,
        accepted={what: number for what, number in load.accepted.counts().items() if number},
        ended={
            "messages": Counter(counts["messages"]["ends"]),
            "webhook deliveries": Counter(counts["webhook deliveries"]["ends"]),
            "submissions": Counter(completed=counts["submissions"]["completed"]),
            "analytics events": Counter({"in ClickHouse": counts["analytics events"]["in ClickHouse"]}),
        },
        lost=sum(kind["lost"] for kind in counts.values()),
        repeated=await _repeated(product, messages, deliveries),
        unknown=len({row.id for row in messages if row.status == "unknown"}),
        answers=f"{answers.refused} calls refused, {answers.maybe_stored} in doubt, {answers.unanswered} unanswered; "
        f"slowest answer {answers.slowest:.0f} s",
        recovered=after,
    )


def _unlike(attempts: Any, requests: Mapping[str, int]) -> Iterator[str]:
    """Records whose attempts are not the requests that were received.

    One that has a status left for certain; one that the ledger says was never made did not; of others nobody can say.
    """
    least: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for row in attempts:
        least[row.id] += row.status_code is not None
        most[row.id] += row.code not in _NEVER_LEFT
    for own in sorted(most.keys() | requests.keys()):
        if not least[own] <= requests.get(own, 0) <= most[own]:
            yield f"{own}: {requests.get(own, 0)} requests received, {least[own]} to {most[own]} on record"


def _wrongly_unknown(product: Product, messages: Any, deliveries: Any) -> Iterator[str]:
    """A request is lost with its worker only, and an `at_most_once` message unknown with such a request only."""
    for row in (*messages, *deliveries):
        if row.code == "worker_lost" and row.worker not in product.lost_workers:
            yield f"{row.id}: a request of worker {row.worker}, which lives, is called lost"
    for row in messages:
        if row.status == "unknown" and row.last and row.code != "worker_lost":
            yield f"{row.id} ({row.guarantee}) is unknown, and its worker lives: {row.outcome} {row.code}"


async def _untold(product: Product, load: Load, completed: int) -> list[str]:
    """What is on record and was told to nobody: a call that was repeated under its key stored something twice."""
    stored = (await _rows(product, _STORED))[0]
    accepted = load.accepted
    surplus = {
        "messages": len(set(stored.messages or ()) - accepted.messages) - completed,
        "deliveries": len(set(stored.deliveries or ()) - accepted.deliveries),
        "submissions": len(set(stored.submissions or ()) - accepted.submissions.keys()),
    }
    return [f"{number} {what} are on record that nobody was told of" for what, number in surplus.items() if number]


async def _audited(product: Product) -> list[str]:
    now = product.observer.core.clock.now()
    found = await product.observer.core.storage.promises.audit(
        now, since=now - timedelta(hours=1), unrecorded=timedelta(0)
    )
    return [
        f"audit, {name.promise} of a {name.kind}: {violation.id} {violation.detail}"
        for name, violations in found.items()
        for violation in violations
    ]


async def _repeated(product: Product, messages: Any, deliveries: Any) -> Counter[str]:
    """By what the record called the request whose repeat arrived. The provider's word counts, not ours."""
    doubts: defaultdict[str, list[str]] = defaultdict(list)
    for row in messages:
        if row.status_code is None:
            doubts[row.id].append(row.code or str(row.outcome))
    for row in deliveries:
        if row.status_code is None:
            doubts[row.id].append(row.code)
    taken = Counter((await product.sandbox.get("/_sandbox/inbox/ids")).raise_for_status().json()["ids"])
    listed = (await product.sandbox.get("/_sandbox/inbox?brief=1&limit=10000")).raise_for_status().json()["items"]
    for item in listed:
        taken[item["message_id"]] += item["repeats"]
    taken.update(product.received.succeeded)
    found: Counter[str] = Counter()
    for own, times in taken.items():
        found.update(_names(doubts[own], times - 1))
    return found


def _names(doubts: list[str], repeats: int) -> Iterator[str]:
    for number in range(repeats):
        yield doubts[number] if number < len(doubts) else "silent"


async def _sandbox_requests(product: Product) -> Mapping[str, int]:
    answer = (await product.sandbox.get("/_sandbox/inbox/requests")).raise_for_status()
    ids: dict[str, int] = answer.json()["ids"]
    return ids


async def _rows(product: Product, statement: TextClause, **names: Any) -> Any:
    observer = product.observer
    return await observer.core.storage.database.rows(statement, {"tenant": observer.tenant, **names})


def told(order: int, fault: str, load: str, times: int, found: Account) -> tuple[str, dict[str, Any]]:
    """The test's row in docs/faults.md, for `record_property`."""
    row = {
        "number": order,
        "fault": fault,
        "load": load,
        "times": times,
        "accepted": f"{_listed(found.accepted)}<br>({found.answers})",
        "ended": "<br>".join(f"{what}: {_listed(ends)}" for what, ends in found.ended.items()),
        "lost": found.lost,
        "repeated": _listed(found.repeated) or "0",
        "unknown": found.unknown,
        "recovered": found.recovered,
    }
    return RESTART, row


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items())
