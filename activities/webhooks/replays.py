"""What ReplayDeliveries has done: one page of a replay after another."""

from __future__ import annotations

from temporalio import activity

from hermod.contracts.webhooks.steps import ReplayStep, ReplayStepInput
from hermod.ports.webhooks.lines import Replayer


class WebhookReplayActivities:
    def __init__(self, replayer: Replayer) -> None:
        self._replayer = replayer

    @activity.defn(name="replay_page")
    async def replay_page(self, order: ReplayStepInput) -> ReplayStep:
        return await self._replayer.step(order.tenant, order.replay, order.wanted)
