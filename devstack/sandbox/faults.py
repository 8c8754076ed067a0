"""Which fault the next request meets: what was ordered through the fault API, else what the recipient is known for.

An order is for a provider, or for one recipient at that provider (which goes first), and is used up after `times`
requests. A new order for the same provider and recipient replaces the old one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.inbox import Counts
from devstack.sandbox.magic import magic_of

ANY: Final = frozenset(FaultName)


class FaultOrder(BaseModel):
    """The body of `PUT /_sandbox/faults/{provider}`. Times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: FaultName
    times: Annotated[int, Field(ge=1)] | None = None
    """Requests until the fault is used up; null: until it is deleted."""
    retry_after: Annotated[float, Field(ge=0, le=86_400)] | None = None
    delay: Annotated[float, Field(ge=0, le=3_600)] | None = None
    to: Annotated[str, Field(min_length=1)] | None = None
    """Only requests to this recipient."""


class _Standing:
    """An order and what is left of it."""

    def __init__(self, order: FaultOrder) -> None:
        self.order = order
        self.fault = Fault(order.fault, retry_after=order.retry_after, delay=order.delay)
        self.applied = 0

    @property
    def remaining(self) -> int | None:
        return None if self.order.times is None else self.order.times - self.applied


class FaultBoard:
    """The orders of all providers. `counts` is where met faults are counted."""

    def __init__(self, counts: Mapping[str, Counts]) -> None:
        self._counts = counts
        self._orders: dict[str, dict[str | None, _Standing]] = {}
        self._turns: defaultdict[tuple[str, str], int] = defaultdict(int)

    def set(self, provider: str, order: FaultOrder) -> dict[str, Any]:
        """Take an order, and show it as it stands."""
        to = order.to.lower() if order.to is not None else None
        standing = _Standing(order)
        self._orders.setdefault(provider, {})[to] = standing
        return _shown(provider, standing)

    def clear(self, provider: str | None = None, to: str | None = None) -> None:
        """Withdraw all orders, those for one provider, or of these the one for a recipient ("": for everyone)."""
        if provider is None:
            self._orders.clear()
        elif to is None:
            self._orders.pop(provider, None)
        else:
            self._orders.get(provider, {}).pop(to.lower() or None, None)

    def list(self) -> list[dict[str, Any]]:
        return [_shown(provider, standing) for provider, orders in self._orders.items() for standing in orders.values()]

    def take(self, provider: str, recipients: Iterable[str], *, only: Collection[FaultName] = ANY) -> Fault | None:
        """The fault that this request meets, or None. Counts it, and uses it up by one."""
        orders = self._orders.get(provider)
        fault = self._ordered(provider, orders, recipients, only) if orders else None
        if fault is None:
            fault = self._magic(provider, recipients, only)
        if fault is not None:
            self._counts[provider].faults += 1
        return fault

    def _ordered(
        self,
        provider: str,
        orders: dict[str | None, _Standing],
        recipients: Iterable[str],
        only: Collection[FaultName],
    ) -> Fault | None:
        for to in (*(recipient.lower() for recipient in recipients), None):
            standing = orders.get(to)
            if standing is None or standing.fault.name not in only:
                continue
            standing.applied += 1
            if standing.remaining == 0:
                del orders[to]
                if not orders:
                    self._orders.pop(provider, None)
            return standing.fault
        return None

    def _magic(self, provider: str, recipients: Iterable[str], only: Collection[FaultName]) -> Fault | None:
        for recipient in recipients:
            magic = magic_of(recipient)
            if magic is None or magic.fault.name not in only:
                continue
            if magic.turns is not None:
                turn = self._turns[provider, recipient]
                self._turns[provider, recipient] = (turn + 1) % (magic.turns + 1)
                if turn == magic.turns:
                    continue
            return magic.fault
        return None


def _shown(provider: str, standing: _Standing) -> dict[str, Any]:
    return {
        "provider": provider,
        **standing.order.model_dump(mode="json"),
        "applied": standing.applied,
        "remaining": standing.remaining,
    }
