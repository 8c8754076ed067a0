"""What the fault tests of messages share: batches under way at a slow provider, and workers that can be cut off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus

from devstack.servers.process import Child
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Options, Submission
from tests.support.polling import eventually
from tests.support.proxies.fault_proxy import FaultProxy
from tests.support.proxies.postgres_proxy import PostgresProxy

if TYPE_CHECKING:
    from tests.faults.conftest import Scene

SLOW: Final = "sendgrid"
"""A provider that does not recognise a repeat."""

_SPENT: Final = text("SELECT sum(spent) AS spent FROM messages WHERE tenant_id = :tenant AND id = ANY(:ids)")


@dataclass(frozen=True)
class Batch:
    """Messages of one workflow, each to a recipient of its own."""

    scene: Scene
    workflow_id: str
    ids: Sequence[str]

    async def arrived(self, count: int, provider: str = SLOW) -> None:
        """Wait until requests for so many of them have come to the provider, which may answer them later."""

        async def there() -> bool:
            found = await self.scene.requests(provider, self.ids)
            assert len(found) >= count, f"{len(found)} of {count}"
            return True

        await eventually(there, within=60, every=0.05)

    async def counted(self) -> dict[str, int]:
        """By status."""
        counts = await self.scene.house.hermod.core.storage.ledger.counts(self.scene.house.hermod.tenant, self.ids)
        return {status.value: count for status, count in counts.items()}

    async def ends_as(self, expected: Mapping[str, int], *, within: float = 60.0) -> None:
        """Wait until so many of them have these statuses."""

        async def there() -> bool:
            counted = await self.counted()
            assert counted == expected, counted
            return True

        await eventually(there, within=within, every=0.1)

    async def outcomes(self) -> dict[tuple[str, ...], int]:
        """How many of them have these outcomes of their requests."""
        all_of_them = await self.scene.outcomes()
        found: dict[tuple[str, ...], int] = {}
        for message in self.ids:
            own = all_of_them.get(message, ())
            found[own] = found.get(own, 0) + 1
        return found

    async def was_accepted_once(self) -> None:
        """Each of them, after requests that were granted and not made, if any."""
        found = await self.outcomes()
        assert all(one[-1] == "accepted" and set(one[:-1]) <= {"transient"} for one in found), found

    async def repeated(self, provider: str = SLOW) -> list[str]:
        """Those for which more than one request has come to the provider."""
        return [message for message, count in (await self.scene.requests(provider, self.ids)).items() if count > 1]

    async def spent(self) -> int:
        """Rounds of retries that they have used up."""
        hermod = self.scene.house.hermod
        names = {"tenant": hermod.tenant, "ids": list(self.ids)}
        return int((await hermod.core.storage.database.rows(_SPENT, names))[0].spent)

    async def closed(self) -> WorkflowExecutionStatus | None:
        """How the workflow has ended, once it has."""

        async def there() -> WorkflowExecutionStatus | None:
            description = await self.scene.temporal.get_workflow_handle(self.workflow_id).describe()
            return description.status if description.close_time else None

        return await eventually(there, within=60, every=0.1)

    async def is_given_out_again(self) -> None:
        """Wait until the server misses who works on it, and has it ready for another try."""

        async def again() -> bool:
            description = await self.scene.temporal.get_workflow_handle(self.workflow_id).describe()
            return any(one.attempt > 1 for one in description.raw_description.pending_activities)

        await eventually(again, every=0.1)


async def send(scene: Scene, count: int = 1, **options: Any) -> Batch:
    """Accept so many emails in one call."""
    asked = [
        Submission(
            content=Email(to=f"user{number}@example.com", subject="Hello", text="Hello"), options=Options(**options)
        )
        for number in range(count)
    ]
    taken = await scene.house.hermod.send_many(asked)
    (workflow_id,) = {receipt.workflow_id for receipt in taken.receipts}
    return Batch(scene, workflow_id, [receipt.id for receipt in taken.receipts])


@dataclass(frozen=True)
class CutOff:
    """A worker with a proxy before each of its servers."""

    worker: Child
    database: PostgresProxy
    temporal: FaultProxy

    def leave(self) -> None:
        """It reaches neither server any more; providers it still reaches."""
        self.database.shut()
        self.temporal.shut()

    async def come_back(self) -> None:
        await self.database.accept()
        await self.temporal.accept()


@asynccontextmanager
async def behind_proxies(scene: Scene) -> AsyncIterator[CutOff]:
    """A worker that is killed in the end."""
    settings = scene.cluster.settings
    url, address = settings.database_url.get_secret_value(), settings.temporal_address
    async with PostgresProxy.before(url) as database, FaultProxy.before(address) as temporal:
        environment = {"DATABASE_URL": database.through(url), "TEMPORAL_ADDRESS": temporal.address}
        worker = await scene.cluster.start_worker(environment=environment)
        try:
            yield CutOff(worker, database, temporal)
        finally:
            worker.kill()
            await worker.until_exit()


async def holder(scene: Scene, workflow_id: str) -> int:
    """The process that works on the workflow's activity."""

    async def held() -> int:
        description = await scene.temporal.get_workflow_handle(workflow_id).describe()
        identities = [one.last_worker_identity for one in description.raw_description.pending_activities]
        assert identities
        assert identities[0]
        return int(identities[0].partition("@")[0])

    return await eventually(held)
