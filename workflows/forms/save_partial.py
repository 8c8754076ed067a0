"""A visitor's form from the first change to its end: sent, left behind, or simply kept.

The database has the partial and decides everything; the workflow only knows when to look. Changes wake it, by a signal
that carries nothing, and it lets two seconds pass so that somebody who types is told of once. Between changes it waits
until the form counts as abandoned; if a change came in the meantime whose signal was lost, the look finds out and the
wait begins again. A submission that comes at that very moment is decided by the row. Cancelling loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.forms.partials import PartialActivities
    from hermod.contracts.forms.forms import SavePartialInput
    from hermod.contracts.forms.partial_steps import PartialLook, SavePartialResult
    from hermod.contracts.queues import Lane
    from workflows.policies import ANNOUNCE

DEBOUNCE: Final = timedelta(seconds=2)
LOOKS_A_RUN: Final = 200


@workflow.defn(name="SavePartial")
class SavePartial:
    @workflow.init
    def __init__(self, partial: SavePartialInput) -> None:
        self._partial = partial
        self._woken = True

    @workflow.run
    async def run(self, partial: SavePartialInput) -> SavePartialResult:
        result = await self._until_nothing_is_left()
        if result is None:
            workflow.continue_as_new(partial)
        return result

    @workflow.signal(name="look_again")
    def look_again(self) -> None:
        """Something has changed: a revision was stored, or the form was sent."""
        self._woken = True

    async def _until_nothing_is_left(self) -> SavePartialResult | None:
        """None where another run goes on. A change that came after the last look is looked at."""
        for _ in range(LOOKS_A_RUN):
            if self._woken:
                await workflow.sleep(DEBOUNCE, summary="until the visitor pauses")
            self._woken = False
            look = await self._look()
            self._woken = self._woken or look.has_changed
            if look.seconds is not None:
                await self._wait(timedelta(seconds=look.seconds))
            elif not self._woken:
                return SavePartialResult(status=look.status, revision=look.revision, abandonments=look.abandonments)
        return None

    async def _look(self) -> PartialLook:
        return await workflow.execute_activity_method(
            PartialActivities.look_at_partial, self._partial, task_queue=Lane.PARTIALS, **ANNOUNCE
        )

    async def _wait(self, until_due: timedelta) -> None:
        """Until something changes, or the form counts as abandoned."""
        with contextlib.suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                lambda: self._woken, timeout=until_due, timeout_summary="until the form is abandoned"
            )
