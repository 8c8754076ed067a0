"""Writes docs/faults.md from a run of the webhook fault tests: `python -m tests.faults.table` (`make faults`).

Each test says with its `tell` what it did and counted (tests/faults/webhooks.py). The table is written only if every
one of them passed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from starter.processes import leave
from tests.support.processes import REPOSITORY

TESTS: Final = ("tests/faults/test_webhook_faults.py", "tests/faults/test_webhook_crashes.py")
TABLE: Final = Path("docs/faults.md")
PROPERTY: Final = "fault"
RESTART: Final = "restart"

_HEAD: Final = """\
# Faults of webhook senders, and what Hermod does

Each row is a fault that was seen in other senders, and a test that brings it about on the real path: `emit`,
PostgreSQL, Temporal, a worker, a receiver that misbehaves. The numbers are counted in that run, by the receiver and in
the database: deliveries that were accepted, deliveries that are lost (neither with the receiver nor in the record), and
requests that repeat an earlier one of the same delivery. A repeat has the same `webhook-id`, and each request is in the
attempt log.

"""
_FOOT: Final = "\n{tests} tests, written on {day} by `make faults`.\n"


class Collector:
    """A pytest plugin that keeps what the tests tell, in their order."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            name = report.nodeid.rpartition("::")[2]
            told = dict(report.user_properties).get(PROPERTY)
            if isinstance(told, dict):
                self.rows.append((name, told))


def markdown(rows: Sequence[tuple[str, dict[str, Any]]], day: str) -> str:
    lines = [
        "| | fault elsewhere | here | deliveries | lost | repeated | why repeated | test |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number, (test, row) in enumerate(sorted(rows, key=lambda each: each[1]["number"]), start=1):
        cells = [number, row["fault"], row["here"], row["sent"], row["lost"], row["repeated"], row["why"], f"`{test}`"]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return _HEAD + "\n".join(lines) + "\n" + _FOOT.format(tests=len(rows), day=day)


def main() -> int:
    collector = Collector()
    code = pytest.main(["-q", *(str(REPOSITORY / each) for each in TESTS), *sys.argv[1:]], plugins=[collector])
    if code == pytest.ExitCode.OK and len(sys.argv) == 1:
        (REPOSITORY / TABLE).write_text(markdown(collector.rows, f"{datetime.now(UTC):%Y-%m-%d}"), encoding="utf-8")
        sys.stdout.write(f"wrote {TABLE}: {len(collector.rows)} faults\n")
    return int(code)


if __name__ == "__main__":
    leave(main())
