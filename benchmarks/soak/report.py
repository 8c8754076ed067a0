"""docs/soak.md and its picture, and the same in short for the terminal."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks._running import table_of
from benchmarks.soak.picture import Panel, svg
from benchmarks.soak.samples import Sample, usage

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "soak.md"
PICTURE: Final = ROOT / "docs" / "images" / "soak.svg"
RESULT: Final = ROOT / "benchmarks" / "results" / "soak.json"
SHOWN: Final = 30
"""Broken promises that are listed one by one."""

PROMISES: Final = (
    (
        "calls and processes",
        "what was accepted ends, or has a running workflow and says what it waits for; every call is answered as it"
        " should be; worker and web run through, and stop in good order",
    ),
    (
        "messages",
        "what was accepted is on record; every request that a provider saw is an attempt on record; nothing is taken"
        " twice without an unknown outcome before; `at_most_once` is never sent again after one; what counts as sent"
        " is with a provider, and what was cancelled is not",
    ),
    (
        "webhook deliveries",
        "what was accepted is on record; every request that a receiver saw is an attempt on record; what counts as"
        " delivered was taken; nothing is taken twice without a doubt or a replay; order is kept where asked for",
    ),
    ("forms", "every submission is completed once, and every journey has each step once, with its message and webhook"),
    ("analytics events", "every event is in ClickHouse once, and the states of every message and delivery are"),
    (
        "the audit",
        "the product finds nothing that breaks a promise, as `hermod doctor --deep` asks ([protocols](protocols.md))",
    ),
)

_PAGE: Final = """\
# {minutes:g} minutes under load

One run of `make soak{options}`, and what it found. It begins the product as processes (one worker for all lanes,
one web process, PostgreSQL with fsync, Temporal's dev server, ClickHouse by chDB), sends a mixed load through the HTTP
API and the client, lets the providers misbehave, and at the end holds every record against every other one. The load,
the faults and the checks are in [benchmarks/soak](../benchmarks/soak/).

**{verdict}** {minutes:g} minutes of load on {cores} cores that everything shares, the load and the receivers included,
on {day}, rate {rate:g}, seed {seed}. All of it took {ours} % of the machine, which was busy to {busy} %, other work
included. Then the load stopped, and what was under way ended within {drain:.0f} seconds. {longest}

## What was accepted, and what became of it

{counts}

For three seconds out of twelve a provider misbehaved: {faults}.

Of the eight endpoints one never answers, one answers 500 and one 410: what is for them waits, fails or is parked, and
has its endpoint's name above. {waiting}

## Promises

{promises}

{broken}## Memory, files, threads

{usage}

PostgreSQL at the end: {connections} connections, {database} MiB, {rows} rows inserted a minute. Open workflows in
Temporal: {workflows}. Memory is each server's own share, its child processes included.

![Memory and open files of each server over the run](images/soak.svg)
"""


def written(figures: Mapping[str, Any], samples: Sequence[Sample]) -> None:
    """Write the page, its picture, and the figures."""
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(picture(samples), encoding="utf-8")
    PAGE.write_text(page(figures), encoding="utf-8")
    RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def picture(samples: Sequence[Sample]) -> str:
    names = list(samples[0].servers)
    memory = {name: [sample.servers[name].mib for sample in samples] for name in names}
    files = {name: [float(sample.servers[name].files) for sample in samples] for name in names}
    many = {name: files.pop(name) for name in list(files) if name == "PostgreSQL"}
    panels = (
        Panel("Memory, MiB", memory),
        Panel("Open files", files),
        Panel("Open files of all processes of PostgreSQL", many),
    )
    return svg("Memory and open files under load", [sample.second / 60 for sample in samples], "minutes", panels)


def memory_of(pids: Mapping[str, int]) -> str:
    """The servers' memory in one line."""
    return "  ".join(f"{name} {usage(pid).mib:.0f}" for name, pid in pids.items()) + " MiB"


def usage_of(samples: Sequence[Sample]) -> dict[str, Any]:
    """Each server at the start, in the middle and at the end; and the database. Samples of the load alone."""
    moments = {"start": samples[0], "middle": samples[len(samples) // 2], "end": samples[-1]}
    first, last = samples[0], samples[-1]
    minutes = max((last.second - first.second) / 60, 1e-9)
    servers = {
        name: {
            **{f"mib_{when}": round(sample.servers[name].mib) for when, sample in moments.items()},
            **{f"files_{when}": sample.servers[name].files for when, sample in moments.items()},
            **{f"threads_{when}": sample.servers[name].threads for when, sample in moments.items()},
            "cores": round((last.servers[name].cpu - first.servers[name].cpu) / (minutes * 60), 2),
        }
        for name in first.servers
    }
    return {
        "servers": servers,
        "busy": round(sum(sample.machine for sample in samples[1:]) / max(len(samples) - 1, 1), 2),
        "ours": round((last.ours - first.ours) / (minutes * 60 * (os.cpu_count() or 1)), 2),
        "connections": last.connections,
        "database_mib": round(last.database_mib),
        "rows_a_minute": round((last.rows - first.rows) / minutes),
        "open_workflows": {when: sample.workflows for when, sample in moments.items()},
    }


def page(figures: Mapping[str, Any]) -> str:
    took, waiting, number = figures["usage"], figures["waiting"], sum(map(len, figures["broken"].values()))
    open_ones = "\n".join(f"- {count:,} × {reason}" for reason, count in waiting.items())
    return _PAGE.format(
        verdict="Every promise was kept." if not number else f"Broken promises: {number}, see below.",
        minutes=figures["minutes"],
        options="" if figures["rate"] == 1 else f' ARGS="--rate {figures["rate"]:g}"',
        cores=figures["cores"],
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        rate=figures["rate"],
        seed=figures["seed"],
        ours=round(took["ours"] * 100),
        busy=round(took["busy"] * 100),
        drain=figures["drained_after"],
        counts=_counts(figures),
        faults=", ".join(f"{count} × {fault}" for fault, count in figures["faults"].items()) or "none in this run",
        longest=_longest(figures["longest_wait"]),
        waiting="Open at the end, each with its workflow:\n\n" + open_ones if waiting else "Nothing is left open.",
        promises=_promises(figures["broken"]),
        broken="## Broken promises\n\n" + "\n".join(f"- {line}" for line in told(figures)) + "\n\n" if number else "",
        usage=_usage(took),
        connections=took["connections"],
        database=took["database_mib"],
        rows=f"{took['rows_a_minute']:,}",
        workflows=", ".join(f"{count:,} ({when})" for when, count in took["open_workflows"].items()),
    )


def _longest(wait: Mapping[str, Any] | None) -> str:
    if not wait or not wait["of"]:
        return ""
    return f"The longest that anything which was due had not begun was {wait['seconds']:g} seconds (a {wait['of']})."


def told(figures: Mapping[str, Any]) -> list[str]:
    """The broken promises in lines, the first `SHOWN` of each kind one by one."""
    lines = []
    for about, broken in figures["broken"].items():
        lines += [f"{about}: {line}" for line in broken[:SHOWN]]
        lines += [f"{about}: and {len(broken) - SHOWN} more"] if len(broken) > SHOWN else []
    return lines


def _promises(broken: Mapping[str, Sequence[str]]) -> str:
    rows = [
        f"| {about} | {promise} | {f'**broken: {len(broken[about])}**' if about in broken else 'kept'} |"
        for about, promise in PROMISES
    ]
    return "\n".join(["| about | promise | |", "|---|---|---|", *rows])


def _counts(figures: Mapping[str, Any]) -> str:
    rows = ["| | accepted | on record | how they ended | requests | repeated, after what | lost |", "|" + "---|" * 7]
    for kind, accepted in figures["accepted"].items():
        found = figures["found"][kind]
        on_record = found.get("on record", found.get("in ClickHouse", ""))
        others = {name: found[name] for name in ("completed", "abandoned") if name in found}
        requests = f"{found['requests received']:,} (on record {found['attempts']:,})" if "attempts" in found else ""
        cells = (
            kind,
            f"{accepted:,}",
            f"{on_record:,}",
            _listed(found.get("ends", others)),
            requests,
            _listed(found.get("repeated", {})),
            found["lost"],
        )
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*rows, "", _explained(figures)])


def _explained(figures: Mapping[str, Any]) -> str:
    twice = figures["found"]["messages"].get("taken twice", 0)
    return (
        "What is on record beyond what was accepted was made by the form: its mails and its webhooks. Partial"
        " submissions that were not abandoned were sent. Messages that a provider took twice, each after an outcome"
        f" called unknown: {twice}. What was repeated after `message_rejected` are dead letters that an operator"
        " retried; after `success`, deliveries that a replay sent again."
    )


def _listed(counts: Mapping[str, int]) -> str:
    return "<br>".join(f"{name} {number:,}" for name, number in counts.items())


def _usage(took: Mapping[str, Any]) -> str:
    head = "| | MiB at the start | middle | end | files | middle | end | threads | middle | end | cores |"
    rows = [head, "|" + "---|" * 11]
    for name, one in took["servers"].items():
        cells = [one[f"{what}_{when}"] for what in ("mib", "files", "threads") for when in ("start", "middle", "end")]
        rows.append(f"| {name} | {' | '.join(map(str, cells))} | {one['cores']} |")
    return "\n".join(rows)


def show(figures: Mapping[str, Any]) -> None:
    """For the terminal."""
    console = Console()
    table = table_of(f"{figures['minutes']:g} minutes of load", "what", "accepted", "lost", "how they ended")
    for kind, accepted in figures["accepted"].items():
        found = figures["found"][kind]
        ends = ", ".join(f"{name} {number}" for name, number in found.get("ends", {}).items())
        table.add_row(kind, str(accepted), str(found["lost"]), ends)
    console.print(table)
    memory = table_of("Memory", "server", "MiB at the start", "middle", "end", "cores")
    for name, one in figures["usage"]["servers"].items():
        memory.add_row(name, *(str(one[f"mib_{when}"]) for when in ("start", "middle", "end")), str(one["cores"]))
    console.print(memory)
    for line in told(figures) or ["every promise was kept"]:
        console.print(line, highlight=False, soft_wrap=True)
