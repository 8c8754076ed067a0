"""What `hermod doctor --deep` looks at besides: the promises that the ledger makes, and records that are not there."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from temporalio.client import Client

from hermod.contracts.errors import Unavailable
from hermod.ports.promises import PromiseAudit
from starter.cli.admin.findings import Finding, Trouble

_SHOWN = 3


async def audit(promises: PromiseAudit, back: timedelta) -> list[Finding]:
    """One finding for each promise that is broken, or one that says that all are kept."""
    now, done = datetime.now(UTC), 0

    def progress() -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            sys.stderr.write(f"\raudit of promises: {done} done ")
            sys.stderr.flush()

    try:
        found = await promises.audit(now, since=now - back, beat=progress)
    except Unavailable as error:
        return [Finding("promises", False, str(error), "run it again")]
    finally:
        if done and sys.stderr.isatty():
            sys.stderr.write("\r\033[K")
    broken = [
        Finding(
            f"promise {name.promise} of {name.kind}s",
            False,
            "; ".join(f"{one.tenant} {one.id}: {one.detail}" for one in violations[:_SHOWN]),
            "docs/protocols.md says what it means; `hermod status ID` tells the story of a message",
        )
        for name, violations in found.items()
        if violations
    ]
    return broken or [Finding("promises", True, f"{len(found)} kept over {back.days} days, whatever is open included")]


async def missing_records(client: Client) -> str:
    """Workflows that did not find their records in the database. Raises Trouble where there are any."""
    count = (await client.count_workflows('HermodStatus = "missing"')).count
    if count:
        advice = "find them in Temporal's Web UI by HermodStatus = 'missing'; has a standby taken over that was behind?"
        raise Trouble(f"{count} workflows did not find their records in the database", advice)
    return "every workflow has found its records"
