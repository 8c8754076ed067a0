"""Following a message until its end, for `hermod send --wait`."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from hermod.contracts.notifications.messages import MessageView, Status
from hermod.domain.states import OPEN
from starter.cli.output import ERR
from starter.client import Hermod

LOOK_EVERY: Final = 0.25
LOOK_RARELY: Final = 2.0
SOON: Final = 30.0
"""Seconds after which a look every now and then is enough."""
GOOD: Final = frozenset({Status.SENT, Status.DELIVERED})


async def until_end(hermod: Hermod, message: str, *, within: float) -> MessageView:
    """The message's story at its end, or after `within` seconds. Says on the terminal where it is meanwhile."""
    begun = monotonic()
    with ERR.status("handed over") as line:
        while True:
            view = await hermod.status(message)
            waited = monotonic() - begun
            if view.status not in OPEN or waited >= within:
                return view
            line.update(_where(view))
            await asyncio.sleep(LOOK_EVERY if waited < SOON else LOOK_RARELY)


def _where(view: MessageView) -> str:
    made = len(view.attempts)
    parts = [view.status.value]
    if made:
        parts.append(f"{made} attempt{'s' if made > 1 else ''}, the last by {view.attempts[-1].account}")
    if view.next_attempt_at is not None:
        parts.append(f"next at {view.next_attempt_at:%H:%M:%SZ}")
    elif view.status is Status.SCHEDULED and view.send_at is not None:
        parts.append(f"due at {view.send_at:%Y-%m-%d %H:%M:%SZ}")
    return ", ".join(parts)
