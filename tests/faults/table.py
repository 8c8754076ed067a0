"""Writes docs/faults.md from runs of the fault tests: `python -m tests.faults.table` (`make faults`).

    --only webhooks    runs and writes one of the two tables, and leaves the other one as it is
    --only restarts

Each test tells with `record_property` what it did and counted (tests/faults/webhooks.py, tests/faults/restarts.py). A
table is written only if all of its tests passed. Further arguments go to pytest; then nothing is written.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from starter.processes import leave
from tests.support.processes import REPOSITORY

TABLE: Final = Path("docs/faults.md")
PROPERTY: Final = "fault"
RESTART: Final = "restart"

Row = dict[str, Any]

_HEAD: Final = """\
# Faults, and what Hermod does

Two tables, each written from a run of the tests that are named in it. The first one takes faults that were seen in
other webhook senders, one by one. The second one takes away the parts that Hermod is made of while everything that it
can do is under load, and counts. [protocols.md](protocols.md) says which statement keeps which promise.
"""


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    told_as: str
    """The property under which a test tells its row."""
    tests: tuple[str, ...]
    introduction: str
    columns: tuple[str, ...]
    cells: Callable[[Row], Sequence[object]]
    """Of a row, without its number in front and its test behind."""

    def markdown(self, rows: Sequence[tuple[str, Row]], day: str) -> str:
        ordered = sorted(rows, key=lambda each: each[1]["number"])
        lines = [_line("", *self.columns, "test"), "|" + "---|" * (len(self.columns) + 2)]
        lines += [_line(number, *self.cells(row), f"`{test}`") for number, (test, row) in enumerate(ordered, start=1)]
        head, foot = f"## {self.title}\n\n{self.introduction}", f"{len(rows)} tests, written on {day} by `make faults`."
        return "\n".join([head, *lines, "", foot, ""])


TABLES: Final = {
    "webhooks": Table(
        title="Faults of webhook senders",
        told_as=PROPERTY,
        tests=("tests/faults/test_webhook_faults.py", "tests/faults/test_webhook_crashes.py"),
        introduction="""\
Each row is a fault that was seen in other senders, and a test that brings it about on the real path: `emit`,
PostgreSQL, Temporal, a worker, a receiver that misbehaves. The numbers are counted in that run, by the receiver and in
the database: deliveries that were accepted, deliveries that are lost (neither with the receiver nor in the record), and
requests that repeat an earlier one of the same delivery. A repeat has the same `webhook-id`, and each request is in the
attempt log.
""",
        columns=("fault elsewhere", "here", "deliveries", "lost", "repeated", "why repeated"),
        cells=lambda row: [row[name] for name in ("fault", "here", "sent", "lost", "repeated", "why")],
    ),
    "restarts": Table(
        title="Restarts and cuts: messages, webhooks, submissions and events",
        told_as=RESTART,
        tests=("tests/faults/test_restarts.py",),
        introduction="""\
RESTARTS
""",
        columns=(
            "killed, cut or frozen",
            "under which load",
            "how often",
            "accepted",
            "sent, delivered, completed",
            "lost",
            "repeated (why)",
            "unknown",
            "seconds to recover",
        ),
        cells=lambda row: [
            row[name]
            for name in ("fault", "load", "times", "accepted", "ended", "lost", "repeated", "unknown", "recovered")
        ],
    ),
}


class Collector:
    """A pytest plugin that keeps what the tests tell, by the property under which they do."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[str, Row]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            name = report.nodeid.rpartition("::")[2]
            for told_as, row in report.user_properties:
                if isinstance(row, dict):
                    self.rows.setdefault(told_as, []).append((name, row))


def document(before: str, written: dict[str, str]) -> str:
    """The page with these tables, by their titles; of those that were not run, what `before` has of them."""
    kept = {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in re.split(r"^## ", before, flags=re.M)[1:]}
    parts = {**kept, **written}
    return "\n".join([_HEAD, *(parts[table.title] for table in TABLES.values() if table.title in parts)])


def _line(*cells: object) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.table", description=__doc__)
    parser.add_argument("--only", choices=TABLES)
    options, more = parser.parse_known_args()
    wanted = [TABLES[options.only]] if options.only else list(TABLES.values())
    tests = [str(REPOSITORY / test) for table in wanted for test in table.tests]
    collector = Collector()
    # All of them, those that are marked as `long` too; a line for each when it has ended.
    code = pytest.main(["-v", "-m", "", *tests, *more], plugins=[collector])
    if code == pytest.ExitCode.OK and not more:
        day, page = f"{datetime.now(UTC):%Y-%m-%d}", REPOSITORY / TABLE
        written = {table.title: table.markdown(collector.rows[table.told_as], day) for table in wanted}
        page.write_text(document(page.read_text(encoding="utf-8"), written), encoding="utf-8")
        sys.stdout.write(f"wrote {TABLE}: {sum(map(len, collector.rows.values()))} tests\n")
    return int(code)


if __name__ == "__main__":
    leave(main())
