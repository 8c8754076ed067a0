"""What every adapter needs from the process around it to reach its provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import HttpSettings
from hermod.ports.clock import Clock


class WallClock:
    """This machine's clock, for the `Date` of a mail and for dates in `Retry-After`."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterContext:
    """Shared by all adapters of a process."""

    guard: AddressGuard
    clock: Clock = field(default_factory=WallClock)
    http: HttpSettings = field(default_factory=HttpSettings)
    public_url: str | None = None
    """Where providers reach us, without a slash at the end: receipts are asked for there. None: they are not."""
    deadline: float | None = None
    """Seconds for one exchange, instead of the provider's own deadline."""
