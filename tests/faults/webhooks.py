"""What the webhook fault tests share: a tenant with a receiver that misbehaves, and what became of everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, text

from hermod.contracts.webhooks.deliveries import EndpointSettings, NewEndpoint
from starter import Hermod
from tests.faults.table import PROPERTY
from tests.support.hostile import Hostile, Received
from tests.support.polling import eventually

_DELIVERIES = text("SELECT * FROM webhook_deliveries WHERE tenant_id = :tenant ORDER BY id")
_ATTEMPTS = text("SELECT * FROM webhook_attempts WHERE tenant_id = :tenant ORDER BY delivery_id, number")
ENDED = frozenset({"delivered", "failed", "parked", "skipped", "cancelled"})


@dataclass
class Ground:
    """A tenant, its receivers, and how many deliveries its events should have made."""

    hermod: Hermod
    receiver: Hostile
    record: Callable[[str, object], None]
    owed: int = 0
    receivers: list[Hostile] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.receivers.append(self.receiver)

    async def endpoint(self, url: str | None = None, **settings: Any) -> NewEndpoint:
        """An endpoint for everything, with waits of a moment between its attempts."""
        core = self.hermod.core
        given = {"url": url or self.receiver.url, "retry": (0.1, 0.1, 0.1), "timeout_seconds": 2} | settings
        return await core.storage.webhook_endpoints.create(
            self.hermod.tenant, EndpointSettings.model_validate(given), actor="test", now=core.clock.now()
        )

    async def emit(self, count: int = 1, kind: str = "order.paid", payload: dict[str, Any] | None = None) -> list[str]:
        """So many events; the ids of their deliveries."""
        ids = []
        for number in range(count):
            receipt = await self.hermod.emit(kind, payload or {"number": number})
            ids += [delivery.id for delivery in receipt.deliveries]
        self.owed += len(ids)
        return ids

    async def deliveries(self) -> Sequence[Row[Any]]:
        return await self._rows(_DELIVERIES)

    async def attempts(self) -> Sequence[Row[Any]]:
        """In the order of deliveries and numbers; `outcome` is null for one that is under way."""
        return await self._rows(_ATTEMPTS)

    async def endpoint_row(self, endpoint: str) -> Row[Any]:
        statement = text("SELECT * FROM webhook_endpoints WHERE tenant_id = :tenant AND id = :id")
        names = {"tenant": self.hermod.tenant, "id": endpoint}
        return (await self.hermod.core.storage.database.rows(statement, names))[0]

    async def all_are(self, *statuses: str, within: float = 30.0) -> Sequence[Row[Any]]:
        """Wait until every delivery has one of the statuses."""

        async def there() -> Sequence[Row[Any]]:
            rows = await self.deliveries()
            counted = Counter(row.status for row in rows)
            assert len(rows) >= self.owed, counted
            assert set(counted) <= set(statuses), (counted, [row.error for row in rows if row.status not in statuses])
            return rows

        return await eventually(there, within=within)

    @property
    def requests(self) -> list[Received]:
        return [request for receiver in self.receivers for request in receiver.requests]

    async def tell(self, number: int, fault: str, here: str, why: str = "", *, beside: Sequence[Ground] = ()) -> None:
        """The test's row in docs/faults.md, over this tenant and those `beside` it.

        Fails where a delivery is lost, or the log and the receiver disagree.
        """
        counted = [await ground._counted() for ground in (self, *beside)]
        sent, lost, repeated = (sum(column) for column in zip(*counted, strict=True))
        assert lost == 0
        assert bool(why) == bool(repeated), repeated
        told = {"number": number, "fault": fault, "here": here, "sent": sent, "lost": lost}
        self.record(PROPERTY, told | {"repeated": repeated, "why": why})

    async def _counted(self) -> tuple[int, int, int]:
        """Deliveries that were owed, deliveries that are lost, and requests that repeat an earlier one."""
        rows, arrived = await self.deliveries(), Counter(request.headers["webhook-id"] for request in self.requests)
        kept = {row.id for row in rows if row.status != "delivered" or arrived[row.id]}
        logged = Counter(row.delivery_id for row in await self.attempts())
        assert {delivery for delivery in arrived if arrived[delivery] > logged[delivery]} == set()
        return self.owed, self.owed - len(kept), sum(times - 1 for times in arrived.values())

    async def _rows(self, statement: Any) -> Sequence[Row[Any]]:
        return await self.hermod.core.storage.database.rows(statement, {"tenant": self.hermod.tenant})
