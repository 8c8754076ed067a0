"""Values that may be a moment old, so that a busy process does not ask the database for the same again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

MOST: Final = 10_000
"""Values that are kept before the old ones are looked for and let go."""

K = TypeVar("K")
V = TypeVar("V")


class TtlCache(Generic[K, V]):
    """`read(key)`, at most once in `seconds`. Callers that come while a value is read share the reading."""

    def __init__(self, read: Callable[[K], Coroutine[Any, Any, V]], seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._kept: dict[K, tuple[float, asyncio.Task[V]]] = {}
        self._most = MOST

    async def get(self, key: K) -> V:
        """Raises what reading raises; such a reading is not kept."""
        kept = self._kept.get(key)
        if kept is None or time.monotonic() - kept[0] > self._seconds:
            self._prune()
            kept = (time.monotonic(), asyncio.create_task(self._read(key)))
            self._kept[key] = kept
        task = kept[1]
        if task.done() and not task.cancelled() and task.exception() is None:
            return task.result()
        try:
            return await asyncio.shield(task)
        except Exception:
            if self._kept.get(key) is kept:
                del self._kept[key]
            raise

    def forget(self, key: K) -> None:
        """The next caller reads it anew: it has changed."""
        self._kept.pop(key, None)

    def _prune(self) -> None:
        if len(self._kept) >= self._most:
            oldest = time.monotonic() - self._seconds
            self._kept = {key: kept for key, kept in self._kept.items() if kept[0] >= oldest}
            self._most = max(MOST, 2 * len(self._kept))
