"""The end of a run: every record is held against every other one, and what does not agree is a broken promise.

Nothing may move meanwhile, so worker and web are stopped by then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx
from sqlalchemy import TextClause, text

from benchmarks.soak import delivery_checks, message_checks
from benchmarks.soak.accepted import Accepted
from benchmarks.soak.delivery_checks import Delivery, Received
from benchmarks.soak.message_checks import Inbox, Story
from starter import Hermod

_STORIES: Final = text("""
    SELECT m.id, m.status, m.finished_at IS NOT NULL AS final, m.error_code AS error,
           coalesce(a.outcomes, '{}') AS outcomes, coalesce(a.providers, '{}') AS providers
      FROM messages m
      LEFT JOIN (SELECT message_id, array_agg(outcome ORDER BY number) AS outcomes,
                        array_agg(provider ORDER BY number) AS providers
                   FROM attempts WHERE tenant_id = :tenant GROUP BY message_id) AS a ON a.message_id = m.id
     WHERE m.tenant_id = :tenant
""")
_DELIVERIES: Final = text("""
    SELECT d.id, d.endpoint_id, d.status, d.order_key, d.place,
           coalesce(a.outcomes, '{}') AS outcomes, coalesce(a.codes, '{}') AS codes
      FROM webhook_deliveries d
      LEFT JOIN (SELECT delivery_id, array_agg(outcome ORDER BY number) AS outcomes,
                        array_agg(status_code ORDER BY number) AS codes
                   FROM webhook_attempts WHERE tenant_id = :tenant GROUP BY delivery_id) AS a ON a.delivery_id = d.id
     WHERE d.tenant_id = :tenant
""")
# A submission is told of on its journey once as received and once as completed, each with its message and webhook.
_SUBMISSIONS: Final = text("""
    SELECT s.id, s.status, s.finished_at IS NOT NULL AS final,
           coalesce(j.received, 0) AS received, coalesce(j.completed, 0) AS completed
      FROM form_submissions s
      LEFT JOIN (SELECT reference, count(*) FILTER (WHERE kind = 'submission.received') AS received,
                        count(*) FILTER (WHERE kind = 'submission.completed') AS completed
                   FROM journey_steps WHERE tenant_id = :tenant GROUP BY reference) AS j ON j.reference = s.id
     WHERE s.tenant_id = :tenant
""")
_PARTIALS: Final = text("""
    SELECT p.session, p.revision, p.status, p.abandonments,
           coalesce(j.begun, 0) AS begun, coalesce(j.abandoned, 0) AS abandoned
      FROM form_partials p
      LEFT JOIN (SELECT session, count(*) FILTER (WHERE kind = 'form.partial') AS begun,
                        count(*) FILTER (WHERE kind = 'form.abandoned') AS abandoned
                   FROM journey_steps WHERE tenant_id = :tenant GROUP BY session) AS j ON j.session = p.session
     WHERE p.tenant_id = :tenant
""")
_TOLD: Final = text("""
    SELECT s.kind, s.detail->>'moment' AS moment, count(DISTINCT s.reference) AS n
      FROM journey_steps s
     WHERE s.tenant_id = :tenant AND s.kind IN ('message.accepted', 'webhook.accepted')
       AND (EXISTS (SELECT 1 FROM messages m WHERE m.tenant_id = :tenant AND m.id = s.reference)
            OR EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.tenant_id = :tenant AND d.id = s.reference))
     GROUP BY s.kind, moment
""")
_TRACKED: Final = """
    SELECT event_id, count() AS n FROM events
     WHERE tenant = {tenant:String} AND startsWith(event_id, 'event-') GROUP BY event_id
"""
_STATES: Final = "SELECT uniqExact(message_id) AS n FROM message_states WHERE tenant = {tenant:String}"


@dataclass(frozen=True, slots=True)
class Records:
    """Everybody's records of one tenant: the product's by its client, the providers' and the receivers' own."""

    hermod: Hermod
    sandbox: httpx.AsyncClient
    endpoints: Mapping[str, str]
    """Their ids, by name."""
    received: Received
    replayed: frozenset[str] = frozenset()
    """Names of endpoints whose deliveries were sent again on request."""


async def judge(records: Records, accepted: Accepted) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """Ask everybody's records: the promises that were broken, by what they are about, and what was counted.

    Every check has its line here.
    """
    counts: dict[str, Any] = {}
    checks = {
        "messages": _messages(records, accepted, counts),
        "webhook deliveries": _deliveries(records, accepted, counts),
        "forms": _forms(records, accepted, counts),
        "analytics events": _analytics(records, accepted, counts),
        "the audit": _audit(records),
    }
    return {name: [line async for line in lines] for name, lines in checks.items()}, counts


async def _audit(records: Records) -> AsyncIterator[str]:
    """The promises that the product asks itself for (docs/protocols.md)."""
    now = records.hermod.core.clock.now()
    found = await records.hermod.core.storage.promises.audit(now, since=now - timedelta(days=1))
    for name, violations in found.items():
        for one in violations:
            yield f"{name.promise} of {name.kind} {one.id}: {one.detail}"


async def early(records: Records) -> list[str]:
    """While everything is under way: no provider may have seen a request that is not on record by now."""
    requests = await _sandbox(records, "requests")
    stories = await _stories(records)
    known = {own: len(story.outcomes) for own, story in stories.items()}
    return [
        f"{own} made {number} requests, and {known.get(own, 0)} are on record"
        for own, number in requests.items()
        if number > known.get(own, 0)
    ]


async def _messages(records: Records, accepted: Accepted, counts: dict[str, Any]) -> AsyncIterator[str]:
    stories = await _stories(records)
    inbox = Inbox(await _sandbox(records, "requests"), await _sandbox(records, "ids"))
    for line in message_checks.broken(stories, inbox, accepted):
        yield line
    counts["messages"] = {
        "on record": len(stories),
        "attempts": sum(len(story.outcomes) for story in stories.values()),
        "requests received": sum(inbox.requests.values()),
        "ends": message_checks.outcomes(stories.values()),
        "repeated": message_checks.repeats(stories.values()),
        "taken twice": sum(number > 1 for number in inbox.taken.values()),
        "lost": _lost(accepted.messages, stories),
    }


async def _deliveries(records: Records, accepted: Accepted, counts: dict[str, Any]) -> AsyncIterator[str]:
    names = {own: name for name, own in records.endpoints.items()}
    deliveries = {
        row.id: Delivery(row.id, names[row.endpoint_id], row.status, row.order_key, row.place, row.outcomes, row.codes)
        for row in await _rows(records, _DELIVERIES)
    }
    received = records.received
    for line in delivery_checks.broken(deliveries, received, accepted, records.replayed):
        yield line
    counts["webhook deliveries"] = {
        "on record": len(deliveries),
        "attempts": sum(len(delivery.outcomes) for delivery in deliveries.values()),
        "requests received": sum(received.requests.values()),
        "ends": delivery_checks.outcomes(deliveries.values()),
        "repeated": delivery_checks.repeats(deliveries.values()),
        "lost": _lost(accepted.deliveries, deliveries),
    }


async def _forms(records: Records, accepted: Accepted, counts: dict[str, Any]) -> AsyncIterator[str]:
    submissions = {row.id: row for row in await _rows(records, _SUBMISSIONS)}
    partials = {row.session: row for row in await _rows(records, _PARTIALS)}
    for own in sorted(accepted.submissions.keys() - submissions.keys()):
        yield f"{own} was accepted and is not on record"
    for own, row in submissions.items():
        if row.final and (row.status, row.received, row.completed) != ("completed", 1, 1):
            yield f"{own} is {row.status}; its journey has it received {row.received}, completed {row.completed} times"
    completed = sum(row.status == "completed" for row in submissions.values())
    submitted = set(accepted.submissions.values())
    for session, revision in accepted.sessions.items():
        row = partials.get(session)
        if row is None or row.revision < revision:
            yield f"revision {revision} of {session} was accepted and is not on record"
        elif (row.status == "converted") != (session in submitted):
            yield f"{session} is {row.status}, and was {'' if session in submitted else 'never '}submitted"
        elif row.begun != 1 or row.abandoned != row.abandonments or row.status == "open":
            yield f"{session} is {row.status}; its journey has {row.begun} beginnings, {row.abandoned} abandonments"
    told = {(row.kind, row.moment): row.n for row in await _rows(records, _TOLD)}
    for kind in ("message.accepted", "webhook.accepted"):
        if (number := told.get((kind, "submission.completed"), 0)) != completed:
            yield f"of {completed} completed submissions {number} have a {kind}"
    counts["submissions"] = {"on record": len(submissions), "completed": completed}
    counts["submissions"] |= {"lost": _lost(accepted.submissions, submissions)}
    counts["partial submissions"] = {
        "on record": len(partials),
        "abandoned": sum(row.abandonments > 0 for row in partials.values()),
        "lost": _lost(accepted.sessions, partials),
    }


async def _analytics(records: Records, accepted: Accepted, counts: dict[str, Any]) -> AsyncIterator[str]:
    clickhouse = records.hermod.core.analytics.clickhouse
    named = {"tenant": records.hermod.tenant}
    found = {row["event_id"]: int(row["n"]) for row in await clickhouse.rows(_TRACKED, named)}
    for own in sorted(accepted.events - found.keys()):
        yield f"{own} was accepted and is not in ClickHouse"
    for own, number in found.items():
        if number > 1:
            yield f"{own} is {number} times in ClickHouse"
    known = int((await clickhouse.rows(_STATES, named))[0]["n"])
    if known != (stored := counts["messages"]["on record"] + counts["webhook deliveries"]["on record"]):
        yield f"ClickHouse knows states of {known} messages and deliveries, and {stored} are on record"
    counts["analytics events"] = {"in ClickHouse": len(found), "lost": _lost(accepted.events, found)}


def _lost(accepted: Iterable[str], known: Mapping[str, object]) -> int:
    return len(set(accepted) - known.keys())


async def _stories(records: Records) -> dict[str, Story]:
    rows = await _rows(records, _STORIES)
    return {row.id: Story(row.id, row.status, row.final, row.error, row.outcomes, row.providers) for row in rows}


async def _sandbox(records: Records, what: str) -> dict[str, int]:
    answer = (await records.sandbox.get(f"/_sandbox/inbox/{what}")).raise_for_status()
    ids: dict[str, int] = answer.json()["ids"]
    return ids


async def _rows(records: Records, statement: TextClause) -> Sequence[Any]:
    return await records.hermod.core.storage.database.rows(statement, {"tenant": records.hermod.tenant})
