"""The page of faults keeps the table that was not run, and puts the two in their order."""

from __future__ import annotations

from tests.faults.table import TABLES, document

WEBHOOKS, RESTARTS = TABLES["webhooks"], TABLES["restarts"]
ROW = {"number": 3, "fault": "f", "load": "l", "times": 2, "accepted": 9, "ended": 9, "lost": 0} | {
    "repeated": 0,
    "unknown": 0,
    "recovered": "1 s",
}


def test_table_is_written_alone_the_other_one_stays() -> None:
    first = document("# Old\n\nold words\n", {WEBHOOKS.title: "## Faults of webhook senders\n\nfirst\n"})
    second = document(
        first, {RESTARTS.title: RESTARTS.markdown([("test_b", ROW), ("test_a", ROW | {"number": 1})], "d")}
    )
    assert "old words" not in second
    assert (
        second.index("first") < second.index(f"## {RESTARTS.title}") < second.index("test_a") < second.index("test_b")
    )
    assert document(second, {}) == second


def test_table_has_a_cell_for_every_column() -> None:
    lines = RESTARTS.markdown([("test_a", ROW)], "d").splitlines()
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert len(widths) == 1
