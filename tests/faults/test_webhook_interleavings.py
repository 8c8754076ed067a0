"""Workers, servers and connections that die, freeze or come back in the middle of webhook deliveries: what a living
worker has begun is left to it, and a receiver is asked again only where nobody can know.

One product for all of these tests, with a tenant for each.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text

from tests.faults.conftest import Scene
from tests.faults.messages import behind_proxies, holder
from tests.support.lost_workers import miss_worker
from tests.support.polling import eventually
from tests.support.resetting import reset
from tests.support.webhooks.product import add_endpoint
from tests.support.webhooks.receiver import Receiver, receiving

_ATTEMPTS: Final = text("""
    SELECT delivery_id, array_agg(coalesce(outcome, 'under way') ORDER BY number) AS outcomes
      FROM webhook_attempts WHERE tenant_id = :tenant GROUP BY delivery_id
""")
_DELIVERIES: Final = text(
    "SELECT id, endpoint_id, workflow_id, status FROM webhook_deliveries WHERE tenant_id = :tenant"
)
DELIVERED: Final = ("success",)
PATIENT: Final = 30
"""Seconds for which a receiver may take its time."""


@dataclass(frozen=True)
class Hooks:
    """A tenant with one endpoint, whose receiver answers when it is told to."""

    scene: Scene
    receiver: Receiver

    async def emit(self, count: int) -> str:
        """So many events at once; the workflow that has their deliveries."""
        hermod = self.scene.house.hermod
        await asyncio.gather(*(hermod.emit("order.paid", {"number": number}) for number in range(count)))
        (workflow,) = {row.workflow_id for row in await self._rows(_DELIVERIES)}
        return str(workflow)

    async def begin_again(self) -> bool:
        """Start the workflow of the only delivery as for one that was reopened."""
        hermod = self.scene.house.hermod
        (row,) = await self._rows(_DELIVERIES)
        return await hermod.core.webhooks.dispatcher.begin_again(hermod.tenant, row.endpoint_id, row.id)

    async def arrived(self, count: int) -> None:
        await eventually(lambda: self.receiver.under_way >= count)

    async def is_looked_at_again(self, workflow: str) -> None:
        """Wait until another dispatch has found the deliveries under way, or has asked the receiver again."""
        deliveries = len(await self._rows(_DELIVERIES))

        async def again() -> bool:
            description = await self.scene.temporal.get_workflow_handle(workflow).describe()
            tries = [one.attempt for one in description.raw_description.pending_activities]
            return max(tries, default=0) > 2 or len(self.receiver.calls) > deliveries

        await eventually(again, within=60, every=0.1)

    async def end_as(self, expected: dict[str, int]) -> None:
        """Wait until so many deliveries have these statuses."""

        async def there() -> bool:
            counted = Counter(row.status for row in await self._rows(_DELIVERIES))
            assert counted == expected, counted
            return True

        await eventually(there, within=60, every=0.1)

    async def outcomes(self) -> dict[tuple[str, ...], int]:
        """How many deliveries have these outcomes of their requests, among those that have requests."""
        return Counter(tuple(row.outcomes) for row in await self._rows(_ATTEMPTS))

    def repeated(self) -> int:
        """Requests that came after another one for the same delivery."""
        return len(self.receiver.calls) - len({call.delivery for call in self.receiver.calls})

    async def _rows(self, statement: Any) -> Any:
        hermod = self.scene.house.hermod
        return await hermod.core.storage.database.rows(statement, {"tenant": hermod.tenant})


@asynccontextmanager
async def hooks(scene: Scene, **settings: Any) -> AsyncIterator[Hooks]:
    async with receiving() as receiver:
        given = {"retry": (0.1, 0.1), "timeout_seconds": PATIENT} | settings
        await add_endpoint(scene.house, receiver.url, **given)
        yield Hooks(scene, receiver)


async def test_worker_loses_temporal_in_mid_batch_no_delivery_is_made_twice(lasting: Scene) -> None:
    """The batch is given out again to the worker that makes its requests, as soon as the server reaches it again. The
    requests are left to it.
    """
    await lasting.no_worker()
    async with behind_proxies(lasting) as worker, hooks(lasting) as own:
        own.receiver.hold()
        workflow = await own.emit(6)
        await own.arrived(6)
        worker.temporal.freeze()
        await miss_worker(lasting.temporal, [workflow])
        worker.temporal.cut()
        await own.is_looked_at_again(workflow)
        own.receiver.go_on()
        await own.end_as({"delivered": 6})
        assert await own.outcomes() == {DELIVERED: 6}
        assert own.repeated() == 0


async def test_workflow_is_reset_in_mid_batch_no_delivery_is_made_twice(lasting: Scene) -> None:
    """An operator resets a batch that the endpoint's rate holds back while requests of the first run are under way."""
    await lasting.worker()
    async with hooks(lasting, rate_per_second=2) as own:
        own.receiver.hold()
        workflow = await own.emit(8)
        await own.arrived(3)
        await reset(lasting.temporal, workflow, to_last=False)
        await own.arrived(8)
        own.receiver.go_on()
        await own.end_as({"delivered": 8})
        assert await own.outcomes() == {DELIVERED: 8}
        assert own.repeated() == 0


async def test_delivery_is_begun_again_while_it_is_under_way_its_run_is_left_alone(lasting: Scene) -> None:
    """A replay that is late, behind a sweeper that has started what it reopened, finds a run at work and leaves it."""
    await lasting.worker()
    async with hooks(lasting) as own:
        own.receiver.hold()
        workflow = await own.emit(1)
        await own.arrived(1)
        handle = lasting.temporal.get_workflow_handle(workflow)
        run = (await handle.describe()).run_id
        assert await own.begin_again()
        assert (await handle.describe()).run_id == run
        own.receiver.go_on()
        await own.end_as({"delivered": 1})
        assert await own.outcomes() == {DELIVERED: 1}
        assert own.repeated() == 0


async def test_answer_to_the_intent_is_lost_the_request_is_made_once(lasting: Scene) -> None:
    """The connection is cut when the intents are committed, and before the worker knows: the requests were not made,
    and nobody says that a worker was lost.
    """
    await lasting.no_worker()
    async with behind_proxies(lasting) as worker, hooks(lasting) as own:
        lost = worker.database.cut_after_commit("INSERT INTO webhook_attempts")
        await own.emit(4)
        await lost.fired()
        await own.end_as({"delivered": 4})
        found = await own.outcomes()
        assert ("not_made", "success") in found
        assert set(found) <= {("not_made", "success"), DELIVERED}
        assert own.repeated() == 0


async def test_worker_is_killed_then_its_batch_is_cancelled_every_delivery_ends(lasting: Scene) -> None:
    """Cancelled in Temporal before anybody knows that its worker is gone, the batch is not given out again. Its
    deliveries are cancelled, and the log says of which requests the outcome is not known. There is a worker of another
    lane, which runs the workflow.
    """
    await lasting.no_worker()
    await lasting.cluster.start_worker("--lanes", "sms")
    worker = await lasting.cluster.start_worker("--lanes", "webhooks")
    async with hooks(lasting, max_concurrency=4) as own:
        own.receiver.hold()
        workflow = await own.emit(12)
        await own.arrived(4)
        worker.kill()
        await worker.until_exit()
        await lasting.temporal.get_workflow_handle(workflow).cancel()
        await own.end_as({"cancelled": 12})
        assert await own.outcomes() == {("worker_lost",): 4}
    await lasting.no_worker()


async def test_worker_is_told_to_stop_a_slow_receiver_is_waited_for(lasting: Scene) -> None:
    """SIGTERM while receivers take longer than a deploy likes to wait: the worker waits all the same, begins nothing
    more, and exits when the answers are recorded. Another one makes what is left.
    """
    await lasting.no_worker()
    worker = await lasting.worker()
    async with hooks(lasting, max_concurrency=4) as own:
        own.receiver.hold()
        await own.emit(12)
        await own.arrived(4)
        asyncio.get_running_loop().call_later(10, own.receiver.go_on)
        await worker.stop(within=60)
        assert worker.exit_code == 0
        assert await own.outcomes() == {DELIVERED: 4}
        await lasting.worker()
        await own.end_as({"delivered": 12})
        assert await own.outcomes() == {DELIVERED: 12}
        assert own.repeated() == 0


async def test_worker_freezes_and_wakes_its_requests_are_left_to_it(lasting: Scene) -> None:
    """A worker stands still while receivers take their time, and another one gets its batch. Awake, it records the
    answers that have come meanwhile, and nothing is repeated.
    """
    await lasting.no_worker()
    workers = [await lasting.cluster.start_worker() for _ in range(2)]
    async with hooks(lasting, max_concurrency=4) as own:
        own.receiver.hold()
        workflow = await own.emit(4)
        await own.arrived(4)
        pid = await holder(lasting, workflow)
        (worker,) = [one for one in workers if one.pid == pid]
        worker.freeze()
        await miss_worker(lasting.temporal, [workflow])
        await own.is_looked_at_again(workflow)
        own.receiver.go_on()
        worker.thaw()
        await own.end_as({"delivered": 4})
        assert await own.outcomes() == {DELIVERED: 4}
        assert own.repeated() == 0
