"""What every adapter needs from the process around it to reach its provider."""

from __future__ import annotations

from dataclasses import dataclass, field

from hermod.clock import SystemClock
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import HttpSettings
from hermod.ports.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterContext:
    """Shared by all adapters of a process."""

    guard: AddressGuard
    clock: Clock = field(default_factory=SystemClock)
    http: HttpSettings = field(default_factory=HttpSettings)
    public_url: str | None = None
    """Where providers reach us, without a slash at the end: receipts are asked for there. None: they are not."""
    deadline: float | None = None
    """Seconds for one exchange, instead of the provider's own deadline."""
