"""Writes docs/faults.md from runs of the fault tests: `python -m tests.faults.table` (`make faults`).

    --only webhooks    one of the two tables (or: restarts), and only its tests; else all fault tests run

Tests tell with `record_property` what they did and counted (tests/faults/webhooks.py, tests/faults/restarts.py). A
table is written only if all of its tests passed, and the other one stays as it is. Further arguments go to pytest; then
nothing is written.
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

from starter.process.exit import leave
from tests.support.processes import REPOSITORY

TABLE: Final = Path("docs/faults.md")
ALL: Final = "tests/faults"
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
        head, foot = (
            f"## {self.title}\n\n{self.introduction}",
            f"{len(rows)} tests, run on {day}; `make faults` runs them and writes this table.",
        )
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
Each row is a test that starts the whole product as processes (PostgreSQL with fsync, Temporal, ClickHouse, web, one
worker for all lanes, unless the row says otherwise), puts it under load, takes a part away in the middle of it, and
brings it back: what is killed after five seconds, what is frozen (SIGSTOP to the whole process family) or silent (a
proxy passes nothing on, new connections work) after twenty. What is stopped by SIGTERM or SIGINT is started again at
once; what is cut may connect again at once.

The load comes over HTTP and through the client: messages to a provider that answers after three seconds, to one without
idempotency keys (every other message `at_most_once`), to an account with a rate limit, to one that answers 503, and to
one that asks for a pause of over a minute; a batch of sixty whose requests are under way when the fault comes;
scheduled and urgent messages; webhook events to endpoints of which one is well, one slow, one fails, and one
is tried again after over a minute; submissions of a form with a mail and webhooks; analytics events. A call that is
refused (503 or 429, nothing stored), in doubt (`maybe-stored`) or not answered at all is made again under its key.

A test passes if everything that was due has ended two and a half minutes after the fault, and what still waits has a
running workflow; if the requests that providers and receivers have got are the attempts on record; if only requests of
a worker that was killed are called lost, and an `at_most_once` message is `unknown` only after one of those; if every
event is in ClickHouse once, every submission completed once, and no repeated call has stored anything twice; if nothing
arrives twice but after a request that was called lost; and if the audit of promises finds nothing.

Messages on record are more than those accepted: the form sends some. What is for the failing endpoint waits for it.
*Repeated* counts what arrived again where it had been taken before, with the word that the record has for the earlier
request. *Seconds to recover* are those from the end of the (last) fault until everything that was due has been begun
again and every request of that time has its outcome, slow ones included; in brackets, what was the last. What takes
longest is a task that Temporal had handed out into a connection or a process that was gone, or stood still: it is
missed after ten seconds without a heartbeat, and handed out again.
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
    """A pytest plugin that keeps what the tests tell, by the property under which they do, and which files failed."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[str, Row]]] = {}
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file, _, name = report.nodeid.rpartition("::")
        if report.failed:
            self.failed.add(file)
        if report.when == "call" and report.passed:
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
    tests = wanted[0].tests if options.only else (ALL,)
    collector = Collector()
    # All of them, those that are marked as `long` too; a line for each when it has ended.
    code = pytest.main(["-v", "-m", "", *(str(REPOSITORY / test) for test in tests), *more], plugins=[collector])
    if not more and code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        day, page = f"{datetime.now(UTC):%Y-%m-%d}", REPOSITORY / TABLE
        written = {
            table.title: table.markdown(collector.rows[table.told_as], day)
            for table in wanted
            if table.told_as in collector.rows and collector.failed.isdisjoint(table.tests)
        }
        page.write_text(document(page.read_text(encoding="utf-8"), written), encoding="utf-8")
        sys.stdout.write(f"wrote into {TABLE}: {', '.join(written) or 'nothing'}\n")
    return int(code)


if __name__ == "__main__":
    leave(main())
