"""One piece of work for all who need it at the same time: a connection, an access token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """While the work is under way, everybody who asks waits for it and shares what it comes to, its failure too.

    Who gives up waiting does not end it for the others.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[Result] | None = None

    async def run(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(work())
            self._task.add_done_callback(_seen)
        return await asyncio.shield(self._task)

    def cancel(self) -> None:
        """End the work; those who wait for it are cancelled, too."""
        if self._task is not None:
            self._task.cancel()


def _seen(task: asyncio.Task[Any]) -> None:
    """A failure that nobody waits for any more is not worth a line in the log."""
    if not task.cancelled():
        task.exception()
