"""Answers of ClickHouse compared with counting by hand, whichever way ClickHouse counts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
import pytest

from hermod.analytics import queries as module
from hermod.analytics.client import ClickHouse
from hermod.analytics.places import Server
from hermod.analytics.queries import AnalyticsQueries
from hermod.analytics.sink import ClickHouseSink
from hermod.contracts.analytics.queries import ChannelFunnel, Funnel, FunnelAsked, Interval, TimeseriesAsked, TopAsked
from hermod.contracts.errors import InvalidInput, Unavailable
from hermod.storage.analytics.event_outbox import clickhouse_time
from tests.support.analytics.clickhouse import event_line, opened, schema_of
from tests.support.product import NOWHERE

NOON: Final = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=4)
HOUR: Final = timedelta(hours=1)
TYPES: Final = ("order.begun", "order.paid", "order.paid.late", "orders", "page.viewed")
HOSTILE: Final = ("' OR 1 = 1 --", "{tenant:String}", "\\", "a\nb", "%(x)s", "$1", "`", "🦉", "\\' UNION ALL SELECT 1")


@pytest.fixture
def queries(empty: ClickHouse) -> AnalyticsQueries:
    return AnalyticsQueries(empty, schema_of(empty))


def event(at: datetime, **columns: Any) -> bytes:
    return event_line(occurred_at=clickhouse_time(at), **columns)


def state(message: str, name: str, *, after: timedelta = timedelta(0), sign: int = 1, **columns: Any) -> bytes:
    accepted = columns.pop("accepted_at", NOON)
    row = {
        "tenant": "shop",
        "channel": "email",
        "state": name,
        "sign": sign,
        "at": clickhouse_time(accepted + after),
        "accepted_at": clickhouse_time(accepted),
        "message_id": message,
        "template": "welcome/de@3",
    }
    return orjson.dumps(row | columns) + b"\n"


async def told(sink: ClickHouseSink, table: str, lines: Sequence[bytes]) -> None:
    """In several inserts, so that there are several parts."""
    for number in range(3):
        await sink.insert(table, b"".join(lines[number::3]), token=f"{table}{number}")


async def test_series_are_counted_as_by_hand_by_every_interval_and_type(
    queries: AnalyticsQueries, sink: ClickHouseSink
) -> None:
    chance = random.Random(7)
    made = [
        (NOON + timedelta(milliseconds=chance.randrange(3 * 86_400_000)), chance.choice(TYPES), chance.choice("ab"))
        for _ in range(2_000)
    ]
    lines = [event(at, type=type_, properties={"plan": plan}) for at, type_, plan in made]
    await told(sink, "events", [*lines, event(NOON, tenant="other", type="orders")])
    for type_, matches in (("*", TYPES), ("order.*", TYPES[:3]), ("order.paid", TYPES[1:2]), ("nothing", ())):
        for interval, since, until in (
            (Interval.DAY, NOON, NOON + timedelta(days=3)),
            (Interval.HOUR, NOON + timedelta(minutes=59), NOON + timedelta(hours=40)),
            (Interval.MINUTE, NOON + timedelta(hours=1), NOON + timedelta(hours=3, seconds=1)),
        ):
            for where in ([], ["plan=a"]):
                asked = TimeseriesAsked(type=type_, interval=interval, property=where)
                answer = await queries.timeseries("shop", asked, since, until)
                assert answer.since <= since
                assert until <= answer.until
                assert {point.at: point.count for point in answer.points if point.count} == Counter(
                    at.replace(
                        microsecond=0,
                        second=0,
                        minute=at.minute if interval is Interval.MINUTE else 0,
                        hour=0 if interval is Interval.DAY else at.hour,
                    )
                    for at, its, plan in made
                    if its in matches and answer.since <= at < answer.until and (not where or plan == "a")
                )
                assert answer.total == sum(point.count for point in answer.points)
                starts = [point.at for point in answer.points]
                assert starts == [answer.since + n * interval.length for n in range(len(starts))]
                assert starts[-1] + interval.length == answer.until


async def test_counts_by_time_alone_read_a_fraction_of_the_rows(
    queries: AnalyticsQueries, sink: ClickHouseSink, empty: ClickHouse
) -> None:
    await told(sink, "events", [event(NOON + timedelta(milliseconds=n)) for n in range(3_000)])
    await told(sink, "message_states", [state(f"m{n}", "accepted") for n in range(3_000)])
    where = module._Where.of_events("shop", "*", NOON, NOON + HOUR, [])
    start = module._START[Interval.HOUR]
    plan = await empty.rows(f"EXPLAIN SELECT {start} AS at, count() FROM events {where} GROUP BY at", where.parameters)
    assert "by_minute" in str(plan)
    where = module._Where("shop")
    where.between("toStartOfHour(accepted_at)", NOON, NOON + HOUR)
    statement = f"EXPLAIN SELECT channel, state, sum(sign) FROM message_states {where} GROUP BY channel, state"
    assert "by_hour" in str(await empty.rows(statement, where.parameters))


async def test_properties_are_found_whatever_they_are(queries: AnalyticsQueries, sink: ClickHouseSink) -> None:
    properties = {
        "plan": "pro",
        "price": 49.99,
        "number": 7,
        "new": True,
        "address": {"city": "Zürich"},
        "größe": "xl",
        "a b-c": "spaced",
        "quoted": "it's",
    }
    await told(
        sink, "events", [event(NOON, properties=properties), event(NOON, properties={"plan": None, "price": "x"})]
    )
    for wanted in (
        *("plan=pro", "price=49.99", "number=7", "new=true", "address.city=Zürich", "größe=xl", "a b-c=spaced"),
        *("quoted=it's", "price=x"),
    ):
        answer = await queries.timeseries("shop", TimeseriesAsked(property=[wanted]), NOON, NOON + HOUR)
        assert answer.total == 1, wanted
    for several in (["plan=free"], ["nothing=x"], ["address=Zürich"], ["plan=pro", "number=8"]):
        assert not (await queries.timeseries("shop", TimeseriesAsked(property=several), NOON, NOON + HOUR)).total


async def test_top_counts_values_and_leaves_out_what_has_none(queries: AnalyticsQueries, sink: ClickHouseSink) -> None:
    lines = [
        *(event(NOON, type="order.paid", contact="ada", session="s1", properties={"price": 5}) for _ in range(3)),
        *(event(NOON, type="order.begun", contact="bob", properties={"price": "5"}) for _ in range(2)),
        event(NOON, type="page.viewed", contact="", properties={"price": 7.5}),
        event(NOON, type="page.viewed", contact="", source="form", properties={}),
        event(NOON - HOUR, type="page.viewed", contact="early"),
    ]
    await told(sink, "events", lines)
    for by, expected in {
        "type": [("order.paid", 3), ("order.begun", 2), ("page.viewed", 2)],
        "contact": [("ada", 3), ("bob", 2)],
        "session": [("s1", 3)],
        "source": [("api", 6), ("form", 1)],
        "property:price": [("5", 5), ("7.5", 1)],
    }.items():
        answer = await queries.top("shop", TopAsked(by=by), NOON, NOON + HOUR)
        assert [(item.value, item.count) for item in answer.items] == expected
    asked = TopAsked(by="contact", type="order.*", property=["price=5"], limit=1)
    assert [item.value for item in (await queries.top("shop", asked, NOON, NOON + HOUR)).items] == ["ada"]


async def test_message_funnel_counts_messages_by_when_they_were_accepted(
    queries: AnalyticsQueries, sink: ClickHouseSink
) -> None:
    late: dict[str, Any] = {
        "accepted_at": NOON + timedelta(minutes=59, seconds=59),
        "template": "",
        "campaign": "spring",
    }
    lines = [
        *(state(one, "accepted") for one in ("a", "b", "c", "d")),
        *(state(one, "sent") for one in ("a", "b")),
        *(state("a", "delivered"), state("a", "opened"), state("a", "opened"), state("b", "opened", after=9 * HOUR)),
        *(state("c", "failed"), state("c", "failed", sign=-1), state("c", "unknown")),
        *(state("c", "unknown", sign=-1), state("c", "failed"), state("d", "failed"), state("d", "failed", sign=-1)),
        *(state("late", "accepted", **late), state("late", "clicked", after=2 * HOUR, **late)),
        state("early", "accepted", accepted_at=NOON - timedelta(milliseconds=1)),
        *(state("whd", "accepted", channel="webhook"), state("whd", "parked", channel="webhook")),
        state("hers", "accepted", tenant="other"),
    ]
    await told(sink, "message_states", lines)

    async def asked(**narrowed: Any) -> tuple[ChannelFunnel, ...]:
        answer = await queries.messages("shop", FunnelAsked(**narrowed), NOON + HOUR / 2, NOON + HOUR)
        assert (answer.since, answer.until) == (NOON, NOON + HOUR)
        return answer.channels or ()

    mails = ChannelFunnel(channel="email", accepted=5, sent=2, delivered=1, opened=2, clicked=1, failed=1)
    assert await asked() == (mails, ChannelFunnel(channel="webhook", accepted=1, parked=1))
    assert await asked(channel="email") == (mails,)
    assert await asked(campaign="spring") == (ChannelFunnel(channel="email", accepted=1, clicked=1),)
    for template in ("welcome", "welcome/de", "welcome/de@3"):
        (found,) = await asked(channel="email", template=template)
        assert (found.accepted, found.clicked) == (4, 0)
    assert await asked(template="wel") == await asked(template="welcome/d") == await asked(channel="push") == ()


async def test_steps_count_who_took_them_in_order_and_in_time(queries: AnalyticsQueries, sink: ClickHouseSink) -> None:
    def taken(contact: str, *steps: tuple[str, float], session: str = "") -> list[bytes]:
        return [
            event(NOON + timedelta(minutes=at), type=type_, contact=contact, session=session) for type_, at in steps
        ]

    lines = [
        *taken("all", ("cart", 0), ("begun", 1), ("page", 2), ("paid", 3), session="s1"),
        *taken("again", ("cart", 0), ("cart", 5), ("begun", 6), session="s2"),
        *taken("again", ("paid", 7), session="s3"),
        *taken("wrong order", ("paid", 0), ("begun", 1), ("cart", 2)),
        *taken("too slow", ("cart", 0), ("begun", 9), ("paid", 11)),
        *taken("", ("cart", 0), ("begun", 1), ("paid", 2)),
        *taken("too late", ("cart", 61)),
    ]
    await told(sink, "events", lines)

    async def counts(**asked: Any) -> Funnel:
        wanted = FunnelAsked(within=600, **asked)
        return await queries.steps("shop", ("cart", "begun", "paid"), wanted, NOON, NOON + HOUR)

    answer = await counts()
    assert [(step.type, step.count) for step in answer.steps or ()] == [("cart", 4), ("begun", 3), ("paid", 2)]
    assert [step.of_first for step in answer.steps or ()] == [1.0, 0.75, 0.5]
    assert [step.of_previous for step in answer.steps or ()] == [1.0, 0.75, 0.6667]
    assert [step.count for step in (await counts(by="session")).steps or ()] == [2, 2, 1]
    nobody = await queries.steps("other", ("cart", "paid"), FunnelAsked(), NOON, NOON + HOUR)
    assert [(step.count, step.of_first) for step in nobody.steps or ()] == [(0, None), (0, None)]


@pytest.mark.parametrize("value", HOSTILE)
async def test_values_are_values_whatever_is_in_them(
    queries: AnalyticsQueries, sink: ClickHouseSink, value: str
) -> None:
    await told(sink, "events", [event(NOON, tenant=value, contact=value, properties={"x": value}), event(NOON)])
    await told(sink, "message_states", [state("m", "accepted", campaign=value, template=value), state("n", "accepted")])
    filtered = TimeseriesAsked(property=[f"x={value}"])
    assert (await queries.timeseries(value, filtered, NOON, NOON + HOUR)).total == 1
    assert not (await queries.timeseries("shop", filtered, NOON, NOON + HOUR)).total
    top = await queries.top(value, TopAsked(by="property:x"), NOON, NOON + HOUR)
    assert [item.value for item in top.items] == [value]
    for asked in (FunnelAsked(campaign=value), FunnelAsked(template=value)):
        (found,) = (await queries.messages("shop", asked, NOON, NOON + HOUR)).channels or ()
        assert found.accepted == 1
    steps = await queries.steps(value, (value, "x"), FunnelAsked(), NOON, NOON + HOUR)
    assert [step.count for step in steps.steps or ()] == [0, 0]


async def test_question_that_is_too_large_is_the_askers_to_change(
    queries: AnalyticsQueries, sink: ClickHouseSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told(sink, "events", [event(NOON, properties={"x": n}) for n in range(100)])
    monkeypatch.setattr(module, "_LIMITS", {"max_rows_to_read": 10})
    with pytest.raises(InvalidInput) as refused:
        await queries.top("shop", TopAsked(by="property:x"), NOON, NOON + HOUR)
    assert [error.field for error in refused.value.errors] == ["since"]


async def test_questions_before_the_first_row_find_the_tables_empty(queries: AnalyticsQueries) -> None:
    assert not (await queries.top("shop", TopAsked(), NOON, NOON + HOUR)).items
    assert not (await queries.messages("shop", FunnelAsked(), NOON, NOON + HOUR)).channels


async def test_questions_while_clickhouse_is_away_say_so() -> None:
    async with opened(Server(NOWHERE), "none") as away:
        with pytest.raises(Unavailable):
            await AnalyticsQueries(away, schema_of(away)).top("shop", TopAsked(), NOON, NOON + HOUR)


LIKE_DATES: Final = (
    "2026-02-30",
    "1920-05-01",
    "2026-11-30",
    "2026-11-30T10:00:00+02:00",
    "2026-11-30 10:00:00.123456789",
    "11/30/2026",
    "0001-01-01",
    "9999-12-31T23:59:59Z",
    "20261130",
    "10:00",
    "Nov 30 2026",
    "1e5",
    "007",
    "true",
    "null",
    "",
)


async def test_properties_that_look_like_dates_arrive_as_sent(queries: AnalyticsQueries, sink: ClickHouseSink) -> None:
    lines = [event(NOON, properties={"x": value}) for value in LIKE_DATES]
    lists = [["2026-02-30", "1920-05-01"], ["2026-11-30T10:00:00+02:00", "11/30/2026"], ["2026-11-30", 1, {"a": "b"}]]
    await told(sink, "events", [*lines, *(event(NOON, properties={"several": one}) for one in lists)])
    for value in LIKE_DATES:
        answer = await queries.timeseries("shop", TimeseriesAsked(property=[f"x={value}"]), NOON, NOON + HOUR)
        assert answer.total == 1, value
    top = await queries.top("shop", TopAsked(by="property:x", limit=100), NOON, NOON + HOUR)
    assert sorted(item.value for item in top.items) == sorted(filter(None, LIKE_DATES))
    everything = await queries.timeseries("shop", TimeseriesAsked(), NOON, NOON + HOUR)
    assert everything.total == len(LIKE_DATES) + len(lists)


async def test_filters_find_what_a_person_would_expect(queries: AnalyticsQueries, sink: ClickHouseSink) -> None:
    made: list[dict[str, Any]] = [
        {"total": 50, "paid_on": "2026-11-30", "$browser": "Firefox", "a/b": 1, "👍": "yes", "big": 9007199254740993},
        {"total": 50.5, "paid_on": "2026-12-01", "empty": "", "big": 9007199254740992},
        {"total": "50", "paid_on": "nothing yet"},
        {"total": -3},
        {},
    ]
    await told(sink, "events", [event(NOON, properties=one) for one in made])
    expected = {
        "total=50.0": 1,
        "total=50": 2,
        "total=5e1": 1,
        "total=50.50": 1,
        "total=-3.0": 1,
        "total=nan": 0,
        "nope=": 0,
        "empty=": 1,
        "total=": 0,
        "big=9007199254740993": 1,
        "total>50": 1,
        "total>=50": 2,
        "total<50.1": 2,
        "total<=-3": 1,
        "total>-10": 3,
        "nope<5": 0,
        "paid_on>2026-11-30": 2,
        "paid_on>=2026-11-30": 3,
        "paid_on<2026-12-01": 1,
        "$browser=Firefox": 1,
        "a/b=1": 1,
        "👍=yes": 1,
    }
    found = {}
    for wanted in expected:
        answer = await queries.timeseries("shop", TimeseriesAsked(property=[wanted]), NOON, NOON + HOUR)
        found[wanted] = answer.total
    assert found == expected
    for name in ("$browser", "a/b", "👍"):
        top = await queries.top("shop", TopAsked(by=f"property:{name}"), NOON, NOON + HOUR)
        assert len(top.items) == 1, name


async def test_step_that_stands_twice_in_a_funnel_has_to_happen_twice(
    queries: AnalyticsQueries, sink: ClickHouseSink
) -> None:
    path = {"once": ["a", "b"], "twice": ["a", "a", "b"], "later": ["a", "b", "a"], "thrice": ["a", "a", "a"]}
    lines = [
        event(NOON + place * timedelta(seconds=1), type=step, contact=who)
        for who, steps in path.items()
        for place, step in enumerate(steps)
    ]
    await told(sink, "events", lines)
    steps = ("a", "a", "b")
    answer = await queries.steps("shop", steps, FunnelAsked(steps=steps), NOON, NOON + HOUR)
    assert answer.steps is not None
    assert [step.count for step in answer.steps] == [4, 3, 1]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "Pacific/Auckland", "America/St_Johns"])
@pytest.mark.parametrize("interval", [Interval.DAY, Interval.HOUR])
async def test_days_and_hours_of_a_time_zone_are_counted_by_its_clock(
    queries: AnalyticsQueries, empty: ClickHouse, interval: Interval, zone: str
) -> None:
    chance = random.Random(7)
    times = [NOON + timedelta(minutes=chance.randrange(-3_000, 3_000)) for _ in range(300)]
    await told(ClickHouseSink(empty, schema_of(empty)), "events", [event(at, type="order.paid") for at in times])
    asked = TimeseriesAsked(type="order.paid", interval=interval, timezone=zone)
    answer = await queries.timeseries("shop", asked, NOON - timedelta(days=3), NOON + timedelta(days=3))

    def local(at: datetime) -> datetime:
        clock = at.astimezone(ZoneInfo(zone))
        return clock.replace(hour=clock.hour if interval is Interval.HOUR else 0, minute=0, second=0, microsecond=0)

    counted = {point.at.astimezone(ZoneInfo(zone)): point.count for point in answer.points if point.count}
    assert counted == dict(Counter(local(at) for at in times))
    assert (answer.total, answer.timezone) == (300, zone)
    assert answer.since == answer.points[0].at
