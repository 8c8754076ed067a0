"""How housekeeping has disabled endpoints made known: only the starter takes in messages and events."""

from __future__ import annotations

from typing import Protocol

from hermod.contracts.webhooks.notices import NoticeReport


class Notices(Protocol):
    async def send(self) -> NoticeReport:
        """Store what is owed for all tenants, to be delivered like anything else. Safe to run twice at once."""
        ...
