"""From what was asked to what is stored: words in place of a template, devices in place of a contact.

All of it happens before the answer, so that what cannot be prepared is refused and not accepted.
"""

from __future__ import annotations

from hermod.contracts.notifications.messages import Submission
from hermod.domain.steps import Steps
from hermod.storage.notifications.acceptance import Ready
from starter.notifications.fan_out import FanOut
from starter.notifications.templates import Renderer


class Preparer:
    """Makes submissions ready for the ledger."""

    def __init__(self, renderer: Renderer, fan_out: FanOut) -> None:
        self._renderer = renderer
        self._fan_out = fan_out

    async def prepare(self, tenant: str, asked: Submission, steps: Steps | None = None) -> tuple[Ready, ...]:
        """The messages that this submission comes to: one, or one for each device. Raises InvalidInput.

        `steps`, from `starter.notifications.templates.call_steps`, are those of all the submissions of a call.
        """
        return await self._fan_out.spread(tenant, await self._renderer.worded(tenant, asked, steps))
