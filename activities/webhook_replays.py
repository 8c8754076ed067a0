"""What ReplayDeliveries has done: one page of a replay after another."""

from __future__ import annotations

from temporalio import activity

from activities import failures
from activities.pulse import pulse
from hermod.contracts.errors import Unavailable
from hermod.contracts.webhook_steps import ReplayStep, ReplayStepOrder
from hermod.ports.webhook_lines import Replayer


class WebhookReplayActivities:
    def __init__(self, replayer: Replayer) -> None:
        self._replayer = replayer

    @activity.defn(name="replay_page")
    async def replay_page(self, order: ReplayStepOrder) -> ReplayStep:
        async with pulse():
            try:
                return await self._replayer.step(order.tenant, order.replay, order.wanted)
            except Unavailable:
                raise failures.ledger_unavailable() from None
