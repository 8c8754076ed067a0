"""How an activity gets a workflow started: only the starter talks to Temporal's client."""

from __future__ import annotations

from typing import Protocol

from hermod.contracts.notifications.delivery import SweepReport


class Sweeper(Protocol):
    async def sweep(self) -> SweepReport:
        """One pass over all tenants. Safe to run twice at once: starting a workflow again finds the first one."""
        ...
