"""What is asked of ClickHouse. Every value of a caller travels as a parameter, never as a part of the statement.

Counts by time alone come from the tables' projections (see `schema`), which hold them by minute and by hour: conditions
on times are written as these have them, and spans begin and end on whole minutes or hours.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from hermod.analytics.client import ClickHouse
from hermod.analytics.faults import TooMuch
from hermod.analytics.intervals import starts_of
from hermod.analytics.schema import Schema
from hermod.contracts.analytics.queries import (
    ChannelFunnel,
    Funnel,
    FunnelAsked,
    FunnelStep,
    Interval,
    Point,
    Timeseries,
    TimeseriesAsked,
    Top,
    TopAsked,
    TopItem,
)
from hermod.contracts.errors import InvalidInput
from hermod.domain.webhooks.event_types import BELOW

SECONDS: Final = 8
"""A query may take so long on the server; the client waits a little longer."""
_LIMITS: Final = {
    "max_execution_time": SECONDS,
    "max_rows_to_read": 2_000_000_000,
    "max_memory_usage": 2 * 1024**3,
    "max_result_rows": 20_000,
}
_HOUR: Final = timedelta(hours=1)
_MINUTE: Final = timedelta(minutes=1)

_START: Final = {
    Interval.MINUTE: "toStartOfMinute(occurred_at)",
    Interval.HOUR: "toStartOfHour(toStartOfMinute(occurred_at))",
    Interval.DAY: "toStartOfDay(toStartOfMinute(occurred_at))",
}
_MILLISECONDS: Final = "toUInt64(toUnixTimestamp64Milli(occurred_at))"
_PROPERTY: Final = "property:"
_NUMBERS: Final = "('Int64', 'UInt64', 'Float64')"
_COMPARISON: Final = re.compile(r"(>=|<=|=|>|<)")
_INTEGER: Final = re.compile(r"-?\d+", re.ASCII)
"""Compared as it is written: large ones are no floating-point numbers."""
_DECIMAL: Final = re.compile(r"[+-]?\d{1,300}(\.\d{0,300})?([eE][+-]?\d{1,2})?", re.ASCII)
_STATES: Final = frozenset(ChannelFunnel.model_fields) - {"channel"}
_SEEN: Final = "('opened', 'clicked')"


class AnalyticsQueries:
    """Every call raises Unavailable where ClickHouse is away, and InvalidInput where the question is too large.

    `since` and `until` of the answers are the ones that were counted: on whole intervals.
    """

    def __init__(self, clickhouse: ClickHouse, schema: Schema) -> None:
        self._clickhouse = clickhouse
        self._schema = schema

    async def timeseries(self, tenant: str, asked: TimeseriesAsked, since: datetime, until: datetime) -> Timeseries:
        """Events by time. The caller has seen to it that the points are not too many."""
        *starts, until = starts_of(asked.interval, since, until, ZoneInfo(asked.timezone))
        since = starts[0]
        where = _Where.of_events(tenant, asked.type, since, until, asked.property)
        begins = _START[asked.interval] if _are_utc(starts, asked.interval) else _among(starts, where)
        rows = await self._rows(
            f"SELECT toUnixTimestamp({begins}) AS at, count() AS count FROM events {where} GROUP BY at",  # noqa: S608
            where.parameters,
        )
        counted = {row["at"]: row["count"] for row in rows}
        return Timeseries(
            type=asked.type,
            interval=asked.interval,
            timezone=asked.timezone,
            since=since,
            until=until,
            total=sum(counted.values()),
            points=tuple(Point(at=at, count=counted.get(round(at.timestamp()), 0)) for at in starts),
        )

    async def top(self, tenant: str, asked: TopAsked, since: datetime, until: datetime) -> Top:
        """The most frequent values; events without one are left out."""
        since, until = _down(since, _MINUTE), _up(until, _MINUTE)
        where = _Where.of_events(tenant, asked.type, since, until, asked.property)
        if asked.by.startswith(_PROPERTY):
            value = f"toString({where.property(asked.by.removeprefix(_PROPERTY))})"
        else:
            value = f"toString({asked.by})"  # one of four columns
        if asked.by != "type":
            where.add("value != ''")
        where.parameters["limit"] = asked.limit
        rows = await self._rows(
            f"SELECT {value} AS value, count() AS count FROM events {where} "  # noqa: S608
            "GROUP BY value ORDER BY count DESC, value LIMIT {limit:UInt32}",
            where.parameters,
        )
        items = tuple(TopItem(value=row["value"], count=row["count"]) for row in rows)
        return Top(by=asked.by, since=since, until=until, items=items)

    async def messages(self, tenant: str, asked: FunnelAsked, since: datetime, until: datetime) -> Funnel:
        """Of the messages that were accepted in that time, how many came how far by now."""
        since, until = _down(since, _HOUR), _up(until, _HOUR)
        where = _Where(tenant)
        where.between("toStartOfHour(accepted_at)", since, until)
        if asked.channel is not None:
            where.equal("channel", asked.channel)
        if asked.campaign is not None:
            where.equal("campaign", asked.campaign)
        if asked.template is not None:
            where.parameters["template"] = asked.template
            where.add(
                "(template = {template:String} OR startsWith(template, concat({template:String}, '/')) "
                "OR startsWith(template, concat({template:String}, '@')))"
            )
        rows = await self._rows(
            f"""
            SELECT channel, state, sum(sign) AS count FROM message_states {where} AND state NOT IN {_SEEN}
             GROUP BY channel, state
            UNION ALL
            SELECT channel, state, toInt64(uniqExact(cityHash64(message_id))) AS count
              FROM message_states {where} AND state IN {_SEEN}
             GROUP BY channel, state
            """,  # noqa: S608
            where.parameters,
        )
        channels: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for row in rows:
            if row["state"] in _STATES:
                channels[row["channel"]][row["state"]] = row["count"]
        funnels = tuple(ChannelFunnel(channel=name, **counts) for name, counts in sorted(channels.items()))
        return Funnel(since=since, until=until, channels=funnels)

    async def steps(
        self, tenant: str, steps: Sequence[str], asked: FunnelAsked, since: datetime, until: datetime
    ) -> Funnel:
        """How many contacts or sessions took the steps one after another, all within the window."""
        since, until = _down(since, _MINUTE), _up(until, _MINUTE)
        where = _Where(tenant)
        where.between("occurred_at", since, until)
        where.add(f"{asked.by.value} != ''")
        names = [where.name(step) for step in steps]
        where.add(f"type IN ({', '.join(names)})")
        conditions = ", ".join(f"type = {name}" for name in names)
        where.parameters["window"] = asked.within * 1000
        # One event is one step, also where its type stands there twice.
        mode = ", 'strict_once'" if len(set(steps)) < len(steps) else ""
        rows = await self._rows(
            f"""
            SELECT level, count() AS count FROM (
              SELECT windowFunnel({{window:UInt64}}{mode})({_MILLISECONDS}, {conditions}) AS level
                FROM events {where} GROUP BY {asked.by.value})
             GROUP BY level
            """,  # noqa: S608
            where.parameters,
        )
        ended = {row["level"]: row["count"] for row in rows}
        reached = [sum(count for level, count in ended.items() if level > place) for place in range(len(steps))]
        shown = tuple(
            FunnelStep(
                type=step,
                count=count,
                of_first=_share(count, reached[0]),
                of_previous=_share(count, reached[max(place - 1, 0)]),
            )
            for place, (step, count) in enumerate(zip(steps, reached, strict=True))
        )
        return Funnel(since=since, until=until, steps=shown, by=asked.by, within=asked.within)

    async def _rows(self, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        await self._schema.prepare()
        try:
            return await self._clickhouse.rows(query, parameters, settings=_LIMITS, within=SECONDS + 2)
        except TooMuch:
            raise InvalidInput.of(
                "since", "there is too much to count; ask for a shorter time, or for fewer types of events"
            ) from None


class _Where:
    """Conditions and the values of their parameters."""

    def __init__(self, tenant: str) -> None:
        self.parameters: dict[str, Any] = {"tenant": tenant}
        self._conditions = ["tenant = {tenant:String}"]

    @classmethod
    def of_events(cls, tenant: str, type_: str, since: datetime, until: datetime, properties: Sequence[str]) -> _Where:
        where = cls(tenant)
        where.between("toStartOfMinute(occurred_at)", since, until)
        if type_.endswith(BELOW):
            where.add(f"startsWith(type, {where.name(type_.removesuffix('*'))})")
        elif type_ != "*":
            where.equal("type", type_)
        for one in properties:
            where.compare(one)
        return where

    def __str__(self) -> str:
        return "WHERE " + " AND ".join(self._conditions)

    def add(self, condition: str) -> None:
        self._conditions.append(condition)

    def name(self, value: str, kind: str = "String") -> str:
        """A parameter that has this value, as the statement names it."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"

    def property(self, name: str) -> str:
        """A property, of whatever type it is. As an identifier it is read alone; by a function, with all the others."""
        return self.name(f"properties.{name}", "Identifier")

    def compare(self, wanted: str) -> None:
        """A condition on a property, as `PropertyFilter` says. What an event does not have is not empty."""
        name, operator, value = _COMPARISON.split(wanted, maxsplit=1)
        found = self.property(name)
        self.add(f"{found} IS NOT NULL")
        number = None if operator == "=" and _INTEGER.fullmatch(value) else _number(value)
        conditions = []
        if number is not None:
            conditions.append(
                f"dynamicType({found}) IN {_NUMBERS} "
                f"AND toFloat64OrNull(toString({found})) {operator} {self.name(str(number), 'Float64')}"
            )
        if operator == "=":
            conditions.append(f"toString({found}) = {self.name(value)}")
        elif number is None:
            conditions.append(f"dynamicType({found}) = 'String' AND toString({found}) {operator} {self.name(value)}")
        self.add(f"({' OR '.join(conditions)})")

    def equal(self, column: str, value: str) -> None:
        self.add(f"{column} = {self.name(value)}")

    def between(self, moment: str, since: datetime, until: datetime) -> None:
        """`since` and `until` are whole seconds."""
        self.parameters |= {"since": round(since.timestamp()), "until": round(until.timestamp())}
        self.add(f"{moment} >= toDateTime({{since:UInt32}}, 'UTC') AND {moment} < toDateTime({{until:UInt32}}, 'UTC')")


def _are_utc(starts: Sequence[datetime], interval: Interval) -> bool:
    """Whether the intervals are those of UTC, which need no list of their beginnings."""
    return all(start == _down(start, interval.length) for start in starts)


def _among(starts: Sequence[datetime], where: _Where) -> str:
    """The last of these beginnings before an event, in SQL. Offsets are whole minutes, as in the projection."""
    where.parameters["starts"] = [round(start.timestamp()) for start in starts]
    return "toDateTime(roundDown(toUnixTimestamp(toStartOfMinute(occurred_at)), {starts:Array(UInt32)}), 'UTC')"


def _number(value: str) -> float | None:
    """What a person would write as a number; no `nan`, no `1_000`."""
    return float(value) if _DECIMAL.fullmatch(value) else None


def _down(at: datetime, step: timedelta) -> datetime:
    seconds = round(step.total_seconds())
    return datetime.fromtimestamp(int(at.timestamp()) // seconds * seconds, UTC)


def _up(at: datetime, step: timedelta) -> datetime:
    begins = _down(at, step)
    return begins if begins == at else begins + step


def _share(count: int, of: int) -> float | None:
    return round(count / of, 4) if of else None
