"""Several callers of one statement: while it runs for one of them, the others gather, and go together in the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class MicroBatcher(Generic[Asked, Answer]):
    """`run` answers all that was asked at once, with one answer for everybody."""

    def __init__(self, run: Callable[[Sequence[Asked]], Awaitable[Answer]]) -> None:
        self._run = run
        self._asked: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._runs = False

    async def ask(self, asked: Asked) -> Answer:
        """Raises what running raises."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked.append((asked, answer))
        if not self._runs:
            self._runs = True
            try:
                # Those who ask at this very moment come along.
                await asyncio.sleep(0)
                while self._asked:
                    await self._serve()
            finally:
                self._runs = False
        return await answer

    async def _serve(self) -> None:
        batch, self._asked = self._asked, []
        try:
            answer = await self._run([asked for asked, _ in batch])
        except BaseException as error:
            for _, future in (*batch, *self._asked):
                if not future.done():
                    future.set_exception(error)
                    future.exception()
            self._asked = []
            raise
        for _, future in batch:
            if not future.done():
                future.set_result(answer)
