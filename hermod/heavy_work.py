"""Work that takes more than some milliseconds, off the event loop: one thread for all of a process.

One and no more: threads of Python do not run side by side, and each one that works keeps the event loop waiting a few
milliseconds for its turn. What is given here is bounded before, so that none waits long for the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")

_THREAD: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="heavy-work")


async def off_loop(call: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Result:
    """Call it in the thread, after what others have given to it. Work that nobody waits for any more is left out."""
    return await asyncio.wrap_future(_THREAD.submit(call, *given, **named))
