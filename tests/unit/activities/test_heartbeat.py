"""An interrupted try comes to its end, and a shutdown whose time is over ends it, whatever interrupted it first."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.testing import ActivityEnvironment

from activities.heartbeat import heartbeating

NO_TIME, MUCH_TIME = timedelta(0), timedelta(hours=1)
CANCELLED = ActivityCancellationDetails(cancel_requested=True)
SUPERSEDED = ActivityCancellationDetails(not_found=True)
TIME_IS_OVER = ActivityCancellationDetails(worker_shutdown=True)


class Try:
    """A try of an activity whose work waits for `go`."""

    def __init__(self, drain: timedelta) -> None:
        self.environment = ActivityEnvironment()
        self.go = asyncio.Event()
        self.was_cut_off = False
        self._begun = asyncio.Event()
        self._drain = drain
        self._task = asyncio.ensure_future(self.environment.run(self._run))

    async def is_under_way(self) -> None:
        await asyncio.wait_for(self._begun.wait(), 5)

    async def goes_on(self) -> None:
        """It is left to itself, with enough turns of the loop to come to its end."""
        for _ in range(20):
            await asyncio.sleep(0)
        assert not self._task.done()

    async def result(self) -> str:
        return await asyncio.wait_for(self._task, 5)

    async def _run(self) -> str:
        async with heartbeating() as heartbeat:
            return await heartbeat.finish(self._work(), drain=self._drain)

    async def _work(self) -> str:
        self._begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.was_cut_off = True
            raise
        return "report"


@pytest.mark.parametrize("details", [CANCELLED, SUPERSEDED], ids=["cancelled", "superseded"])
async def test_interrupted_the_work_comes_to_its_end(details: ActivityCancellationDetails) -> None:
    own = Try(NO_TIME)
    await own.is_under_way()
    own.environment.cancel(details)
    await own.goes_on()
    own.go.set()
    with pytest.raises(asyncio.CancelledError):
        await own.result()
    assert not own.was_cut_off


@pytest.mark.parametrize("details", [CANCELLED, SUPERSEDED], ids=["cancelled", "superseded"])
async def test_shutdown_after_an_interruption_cuts_off_when_its_time_is_over(
    details: ActivityCancellationDetails,
) -> None:
    own = Try(NO_TIME)
    await own.is_under_way()
    own.environment.cancel(details)
    await own.goes_on()
    own.environment.worker_shutdown()
    with pytest.raises(asyncio.CancelledError):
        await own.result()
    assert own.was_cut_off


@pytest.mark.parametrize("details", [CANCELLED, SUPERSEDED], ids=["cancelled", "superseded"])
async def test_interruption_after_the_time_of_a_shutdown_cuts_off(details: ActivityCancellationDetails) -> None:
    own = Try(NO_TIME)
    await own.is_under_way()
    own.environment.worker_shutdown()
    await own.goes_on()
    own.environment.cancel(details)
    with pytest.raises(asyncio.CancelledError):
        await own.result()
    assert own.was_cut_off


async def test_shutdown_after_an_interruption_leaves_the_work_its_time() -> None:
    own = Try(MUCH_TIME)
    await own.is_under_way()
    own.environment.cancel(SUPERSEDED)
    own.environment.worker_shutdown()
    await own.goes_on()
    own.go.set()
    with pytest.raises(asyncio.CancelledError):
        await own.result()
    assert not own.was_cut_off


async def test_shutdown_alone_leaves_it_to_the_sdk_to_cut_off() -> None:
    own = Try(NO_TIME)
    await own.is_under_way()
    own.environment.worker_shutdown()
    await own.goes_on()
    own.go.set()
    assert await own.result() == "report"


async def test_time_of_a_shutdown_is_over_cuts_off() -> None:
    own = Try(MUCH_TIME)
    await own.is_under_way()
    own.environment.worker_shutdown()
    own.environment.cancel(TIME_IS_OVER)
    with pytest.raises(asyncio.CancelledError):
        await own.result()
    assert own.was_cut_off
