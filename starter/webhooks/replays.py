"""Replays of webhook deliveries: what the API and the command line ask for, and the pages that a replay's workflow has
begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from hermod.contracts.errors import InvalidInput
from hermod.contracts.ids import replay_workflow
from hermod.contracts.notifications.delivery import SweepReport
from hermod.contracts.webhooks.deliveries import (
    OPEN_DELIVERIES,
    ReplayDeliveriesInput,
    ReplayInput,
    ReplayPage,
    ReplayStatus,
    ReplayView,
)
from hermod.contracts.webhooks.steps import ReplayStep
from hermod.ports.clock import Clock
from hermod.storage.webhooks.replays import WebhookReplays
from starter.client import Hermod
from starter.housekeeping.sweep_table import REPLAYS
from starter.temporal.starts import Start, Starts
from starter.webhooks.starts import CHANNEL

AT_ONCE: Final = 10
SIGNALS: Final = {
    ReplayStatus.PAUSED: "pause",
    ReplayStatus.RUNNING: "resume",
    ReplayStatus.CANCELLED: "cancel",
}

Begin = Callable[[str, str, str], Awaitable[object]]
"""Starts the workflow of a delivery that was reopened: tenant, endpoint, delivery."""
Wake = Callable[[str, str, str], Awaitable[object]]
"""Wakes the line of ordered deliveries: tenant, endpoint, key."""


class PagedReplayer:
    """`hermod.ports.webhooks.lines.Replayer`, and the sweeper's look for replays that nobody works on."""

    def __init__(self, replays: WebhookReplays, starts: Starts, clock: Clock, *, begin: Begin, wake: Wake) -> None:
        self._replays = replays
        self._starts = starts
        self._clock = clock
        self._begin = begin
        self._wake = wake

    async def step(self, tenant: str, replay: str, wanted: ReplayStatus | None) -> ReplayStep:
        """What could not be started here is pending, and the sweeper starts it."""
        page = await self._replays.page(tenant, replay, wanted, self._clock.now())
        turns = asyncio.Semaphore(AT_ONCE)

        async def call(start: Begin | Wake, what: str) -> None:
            async with turns:
                await start(tenant, page.endpoint, what)

        alone = [call(self._begin, delivery) for delivery, key in page.deliveries if key is None]
        lines = [call(self._wake, key) for key in {key for _, key in page.deliveries if key is not None}]
        await asyncio.gather(*alone, *lines)
        return page.step

    async def sweep(self) -> SweepReport:
        """Start the workflows of replays that have stood still; one that is at work is left alone."""
        older_than, limit = REPLAYS.stalled_after, REPLAYS.at_most
        still = await self._replays.still(self._clock.now(), older_than=older_than, limit=limit)
        begun = await REPLAYS.wake(lambda one: self._starts.begin(_start(*one)), still)
        return SweepReport(restarted=len(begun))


def _start(tenant: str, replay: str, signal: str | None = None) -> Start:
    return Start(
        name="ReplayDeliveries",
        order=ReplayDeliveriesInput(tenant=tenant, replay=replay),
        workflow_id=replay_workflow(tenant, replay),
        tenant=tenant,
        channel=CHANNEL,
        request_id=None,
        summary="replay",
        signal=signal,
    )


async def replay(hermod: Hermod, endpoint: str, asked: ReplayInput) -> ReplayView:
    """Begin deliveries of the endpoint again; a dry run only counts them.

    Raises InvalidInput, NotFound, and Conflict where the endpoint is disabled.
    """
    core, now = hermod.core, hermod.core.clock.now()
    replays = core.storage.webhook_replays
    if not asked.status or OPEN_DELIVERIES & set(asked.status):
        raise InvalidInput.of("status", "must be statuses of deliveries that have ended, like failed or parked")
    if asked.since >= (asked.until or now):
        raise InvalidInput.of("since", "must be before `until`, and in the past")
    if asked.dry_run:
        matching = await replays.count(hermod.tenant, endpoint, asked, now)
        return ReplayView(
            id=None,
            endpoint_id=endpoint,
            status=None,
            matching=matching,
            begun=0,
            per_second=asked.per_second,
            created_at=None,
            finished_at=None,
        )
    started = await replays.start(hermod.tenant, endpoint, asked, actor=hermod.actor, now=now)
    assert started.id is not None  # noqa: S101 - only a dry run has none
    await _starts(hermod).begin(_start(hermod.tenant, started.id))
    return started


async def replay_status(hermod: Hermod, replay: str) -> ReplayView:
    """Raises NotFound."""
    return await hermod.core.storage.webhook_replays.view(hermod.tenant, replay)


async def replays(
    hermod: Hermod,
    *,
    endpoint: str | None = None,
    status: ReplayStatus | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> ReplayPage:
    """Newest first."""
    return await hermod.core.storage.webhook_replays.listed(
        hermod.tenant, endpoint=endpoint, status=status, cursor=cursor, limit=limit
    )


async def move_replay(hermod: Hermod, replay: str, wanted: ReplayStatus) -> ReplayView:
    """Pause, resume or cancel. Raises NotFound, and Conflict where the replay has ended."""
    core = hermod.core
    moved = await core.storage.webhook_replays.move(
        hermod.tenant, replay, wanted, actor=hermod.actor, now=core.clock.now()
    )
    if moved.finished_at is None or wanted is ReplayStatus.CANCELLED:
        await _starts(hermod).begin(_start(hermod.tenant, replay, SIGNALS[wanted]))
    return moved


def _starts(hermod: Hermod) -> Starts:
    return Starts(hermod.core.temporal, hermod.core.storage.limits)
