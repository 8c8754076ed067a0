"""Where a simulated process stands still: before each of its statements and requests, and before the answer to each.

Whoever runs the schedule decides at every gate what becomes of the step: it is made and answered, made and answered
later, made with the answer lost, or not made at all. So between any two commits anything else may happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hermod.contracts.errors import Unavailable


class Fate(StrEnum):
    GO = "made and answered"
    LATE = "made, and answered later"
    LOST_ANSWER = "made, and the answer is lost"
    NOT_MADE = "not made"


@dataclass(eq=False)
class Step:
    """One statement or request of a process that waits for its fate. `made` is what it came to, once it was made."""

    process: object
    name: str
    make: Callable[[], Awaitable[Any]]
    future: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    made: tuple[Any] | None = None


class Gates:
    """All steps that wait, the oldest first."""

    def __init__(self) -> None:
        self.waiting: list[Step] = []
        self._dead: list[object] = []

    async def pass_through(self, process: object, name: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """Raises Unavailable where it was not made or its answer was lost, and CancelledError in a dead process."""
        if process in self._dead:
            raise asyncio.CancelledError
        step = Step(process, name, make)
        self.waiting.append(step)
        try:
            return await step.future
        finally:
            if step in self.waiting:
                self.waiting.remove(step)

    async def decide(self, step: Step, fate: Fate) -> None:
        if step.made is None and fate is not Fate.NOT_MADE:
            step.made = (await step.make(),)
        if fate is Fate.LATE:
            return
        self.waiting.remove(step)
        if step.future.done():
            return
        if fate is Fate.GO or (fate is Fate.NOT_MADE and step.made is not None):
            assert step.made is not None
            step.future.set_result(step.made[0])
        else:
            step.future.set_exception(Unavailable("the database does not answer"))

    async def abandon(self, process: object, *, made: bool) -> None:
        """The process is dead, and does nothing any more. Statements that it had sent may still be made."""
        self._dead.append(process)
        for step in [one for one in self.waiting if one.process is process]:
            self.waiting.remove(step)
            if made and step.made is None:
                await step.make()
            step.future.cancel()
