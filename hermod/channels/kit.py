"""What a provider's folder exports as `KIT`: the one thing that the registry looks for.

A folder `hermod/channels/<channel>/<provider>/` with a module `kit.py` is a provider; nothing else has to be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hermod.contracts.errors import FieldError
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.receipts import Callback, ReceiptReader
from hermod.ports.notifications.sender import Capability, Sender


class Adapter(Protocol):
    """What the registry needs of an adapter's class."""

    @property
    def capability(self) -> Capability: ...

    def __call__(self, account: Account, wiring: AdapterContext) -> Sender: ...

    def check(self, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterable[FieldError]:
        """Faults of the values, and of the address that they lead to. Missing and unknown names are found here."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An account as it looks: for the documentation and the tests. Nothing in it is anybody's."""

    credentials: Mapping[str, str] = field(repr=False)
    sender: str | None = None
    """`from`."""
    base_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderDefinition:
    """A provider: how to send with it, how to read what it reports back, and what an account of it looks like."""

    adapter: Adapter
    example: Example
    receipts: ReceiptReader | None = None
    is_test: Callable[[Callback], bool] | None = None
    """Tells the provider's unsigned call that tries an address out. It is answered alike at every address: an answer
    of its own would tell which accounts there are."""
    polled: bool = False
    """Its reports are asked for: the sender is a `ReceiptPoller`."""
