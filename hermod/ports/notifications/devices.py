"""What becomes of devices whose push service does not know them any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from hermod.contracts.notifications.devices import DeviceReport


class DeviceBook(Protocol):
    async def sweep(self, now: datetime, *, beat: Callable[[], None]) -> DeviceReport:
        """Remove the devices whose tokens are wrong beyond doubt, with a `beat` after each step."""
        ...

    async def unregister(self, tenant: str, theirs: Sequence[str], now: datetime) -> None:
        """Remove the devices to which these messages (the provider's ids) went: their receipts call them gone."""
        ...
