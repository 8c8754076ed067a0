"""From claimed rows to inserts: once each, whatever is lost in between, and what ClickHouse cannot take is found."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.analytics import event_inserts
from activities.analytics.event_inserts import OWN_INSERTS, OWN_ROWS, halves, planned
from activities.analytics.events import MOST_SEARCHED, EventActivities
from activities.interceptor import translated
from hermod.contracts.analytics.events import IngestInput, IngestReport
from hermod.contracts.errors import Unavailable
from hermod.ports.analytics import Claimed, ClaimedBatch, Refused, RefusedLines

ORDER = IngestInput(tenant="demo", insert="evb_1")


def batch(id: str, **types: Sequence[str]) -> ClaimedBatch:
    lines = {kind: "".join(f"{line}\n" for line in told).encode() for kind, told in types.items()}
    return ClaimedBatch(id, "events", lines, sum(map(len, types.values())))


@dataclass
class Outbox:
    """Rows that one insert has taken, as the database would keep them."""

    batches: list[ClaimedBatch]
    apart: set[str] = field(default_factory=set)
    refused: list[RefusedLines] = field(default_factory=list)
    away: int = 0
    """How many times `done` fails before it does not."""

    async def claim(self, tenant: str, insert: str, now: datetime) -> Claimed:
        return Claimed(list(self.batches), frozenset(self.apart))

    async def part(self, tenant: str, batch: str, token: str) -> None:
        self.apart.add(token)

    async def done(self, tenant: str, batches: Sequence[str], refused: Sequence[RefusedLines]) -> bool:
        if self.away:
            self.away -= 1
            raise Unavailable("the database does not answer")
        self.batches = [one for one in self.batches if one.id not in batches]
        self.refused += refused
        return False


@dataclass
class Sink:
    """Adds the lines of a token once, refuses lines with "bad" in them, and is away after so many inserts."""

    rows: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    inserts_left: int = 1_000_000
    forgiving: bool = False

    async def insert(self, table: str, lines: bytes, *, token: str) -> None:
        if not self.inserts_left:
            raise Unavailable("ClickHouse does not answer")
        self.inserts_left -= 1
        if b"bad" in lines and not self.forgiving:
            raise Refused("CANNOT_PARSE_TEXT (6)")
        if token not in self.tokens:
            self.tokens.append(token)
            self.rows += lines.decode().splitlines()


async def ingest(outbox: Outbox, sink: Sink) -> IngestReport:
    async def run() -> IngestReport:
        async with translated():
            return await EventActivities(outbox, sink).ingest_events(ORDER)

    return await ActivityEnvironment().run(run)


async def until_done(outbox: Outbox, sink: Sink, *, inserts_a_try: int) -> None:
    """Tries that are cut off after so many inserts each, one more every time."""
    while outbox.batches:
        sink.inserts_left = inserts_a_try
        inserts_a_try += 1
        with contextlib.suppress(ApplicationError):
            await ingest(outbox, sink)


def test_types_that_are_large_have_an_insert_each_and_small_ones_share_one() -> None:
    many = [str(number) for number in range(OWN_ROWS - 1)]
    claimed = Claimed([batch("b1", paid=many, seen=["a"], left=["b"]), batch("b2", paid=["last"], seen=["c"])])
    assert {insert.type: sorted(insert.lines.decode().split()) for insert in planned(claimed)} == {
        "paid": sorted([*many, "last"]),
        "*": ["a", "b", "c"],
    }


def test_only_the_largest_types_have_an_insert_of_their_own() -> None:
    types = {f"t{number:03}": ["x"] * (OWN_ROWS + 100 - number) for number in range(OWN_INSERTS + 8)}
    inserts = planned(Claimed([batch("b1", **types)]))
    assert [insert.type for insert in inserts] == [*sorted(types)[:OWN_INSERTS], "*"]
    assert inserts[-1].lines.count(b"\n") == sum(len(lines) for lines in list(types.values())[OWN_INSERTS:])


def test_tables_have_inserts_of_their_own() -> None:
    states = ClaimedBatch("b2", "message_states", {"": b"{}\n"}, 1)
    inserts = planned(Claimed([batch("b1", paid=["1"]), states]))
    assert [(insert.table, insert.type) for insert in inserts] == [("events", "*"), ("message_states", "*")]


def test_token_is_the_same_for_the_same_batches_and_another_for_others() -> None:
    first, again, other = (planned(Claimed([batch(id, paid=["1"])]))[0].token for id in ("b1", "b1", "b2"))
    assert first == again
    assert first != other


@given(st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b" ") + b"\n"), min_size=2))
def test_halves_are_the_lines_again_and_neither_is_empty(lines: list[bytes]) -> None:
    text = b"".join(lines)
    first, second = halves(text)
    assert first + second == text
    assert first.endswith(b"\n")
    assert second


async def test_round_inserts_each_type_once_and_lets_go() -> None:
    outbox, sink = Outbox([batch("b1", paid=["1", "2"], seen=["3"]), batch("b2", paid=["4"])]), Sink()
    assert await ingest(outbox, sink) == IngestReport(events=4, inserts=1, more=False)
    assert sorted(sink.rows) == ["1", "2", "3", "4"]
    assert outbox.batches == []


async def test_nothing_to_take_is_nothing_to_do() -> None:
    assert await ingest(Outbox([]), Sink()) == IngestReport(events=0, inserts=0, more=False)


async def test_round_that_is_cut_off_again_and_again_adds_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_inserts, "OWN_ROWS", 1)
    types = {f"t{number}": [f"{number}.{line}" for line in range(3)] for number in range(10)}
    outbox, sink = Outbox([batch("b1", **types), batch("b2", **types)], away=2), Sink()
    expected = sorted([line for told in types.values() for line in told] * 2)
    await until_done(outbox, sink, inserts_a_try=1)
    assert sorted(sink.rows) == expected


async def test_lines_that_clickhouse_cannot_take_are_set_aside_and_the_others_go_in() -> None:
    lines = [f"good {number}" for number in range(20)]
    outbox = Outbox([batch("b1", paid=[*lines, "bad 1"], seen=["good x"]), batch("b2", paid=["bad 2", "good y"])])
    sink = Sink()
    await ingest(outbox, sink)
    assert sorted(sink.rows) == sorted([*lines, "good x", "good y"])
    reason = "CANNOT_PARSE_TEXT (6)"
    assert outbox.refused == [
        RefusedLines("b1", "events", "paid", b"bad 1\n", reason),
        RefusedLines("b2", "events", "paid", b"bad 2\n", reason),
    ]
    assert outbox.batches == []


@pytest.mark.parametrize("cut_off_after", range(1, 12))
async def test_search_that_is_cut_off_goes_the_same_way_again(cut_off_after: int) -> None:
    lines = [f"good {number}" for number in range(9)]
    outbox, sink = Outbox([batch("b1", paid=[*lines, "bad"]), batch("b2", paid=["good x"])]), Sink()
    sink.inserts_left = cut_off_after
    with contextlib.suppress(ApplicationError):
        await ingest(outbox, sink)
    await until_done(outbox, sink, inserts_a_try=cut_off_after)
    assert sorted(sink.rows) == sorted([*lines, "good x"])


@pytest.mark.parametrize("cut_off_after", range(1, 9))
async def test_refusal_that_is_taken_back_in_the_middle_adds_nothing_twice(cut_off_after: int) -> None:
    """Somebody mends ClickHouse while the search is under way."""
    lines = [f"good {number}" for number in range(9)]
    outbox = Outbox([batch("b1", paid=[*lines, "bad"]), batch("b2", paid=["good x"])])
    sink = Sink(inserts_left=cut_off_after)
    with pytest.raises(ApplicationError, match="ClickHouse does not answer"):
        await ingest(outbox, sink)
    sink.forgiving, sink.inserts_left = True, 1_000
    await ingest(outbox, sink)
    assert len(sink.rows) == len(set(sink.rows))
    assert sorted({*sink.rows, *(b"".join(one.lines for one in outbox.refused).decode().splitlines())}) == sorted(
        [*lines, "bad", "good x"]
    )


async def test_everything_refused_ends_the_search_and_loses_nothing() -> None:
    lines = [f"bad {number}" for number in range(5_000)]
    outbox, sink = Outbox([batch("b1", paid=lines)]), Sink()
    await ingest(outbox, sink)
    assert sink.rows == []
    assert 1_000_000 - sink.inserts_left < 4 * MOST_SEARCHED
    assert sorted(b"".join(one.lines for one in outbox.refused).decode().splitlines()) == sorted(lines)
