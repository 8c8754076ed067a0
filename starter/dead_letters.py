"""Dead letters, many at once: found by a filter, and retried or discarded one by one.

What begins again is started behind the answer; with Temporal away, or with very many, the sweeper starts it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal

from hermod.contracts.errors import Conflict, InvalidInput, NotFound
from hermod.contracts.notifications.dead_letters import AnyMany, ManyDeliveries, ManyMessages, Moved
from hermod.storage.notifications.dead_letters import DeadLetters
from starter.client import Hermod
from starter.concurrency.gather_limited import gather_limited
from starter.forms.submissions import discard_submission, retry_submission
from starter.webhooks.deliveries import discard_delivery, retry_delivery

Verb = Literal["retry", "discard"]
AT_ONCE: Final = 8
"""Records moved at once: few enough to leave connections to other calls."""


async def move_dead_letters(hermod: Hermod, verb: Verb, asked: AnyMany) -> Moved:
    """Retry or discard what matches, the oldest first. Raises InvalidInput and Unavailable; what was moved before the
    database went away stays moved, and the same call goes on with the rest.
    """
    if verb == "retry" and isinstance(asked, ManyMessages) and asked.filter.status == "unknown":
        raise InvalidInput.of("filter.status", "an unknown outcome is resolved, one by one, and not retried")
    found = await DeadLetters(hermod.core.storage.database).find(hermod.tenant, verb, asked)
    ids = found.ids if asked.dry_run else await _moved(_move(hermod, verb, asked), found.ids)
    moved = 0 if asked.dry_run else len(ids)
    return Moved(
        matching=found.matching,
        moved=moved,
        remaining=max(found.matching - (0 if asked.dry_run else len(found.ids)), 0),
        without_content=found.without_content,
        ids=ids,
        dry_run=asked.dry_run,
    )


def _move(hermod: Hermod, verb: Verb, asked: AnyMany) -> Callable[[str], Awaitable[object]]:
    if isinstance(asked, ManyMessages):
        return hermod.discard if verb == "discard" else lambda one: hermod.retry(one, wait=False)
    if isinstance(asked, ManyDeliveries):
        if verb == "discard":
            return lambda one: discard_delivery(hermod, one, wait=False)
        return lambda one: retry_delivery(hermod, one, wait=False)
    if verb == "discard":
        return lambda one: discard_submission(hermod, one)
    return lambda one: retry_submission(hermod, one, wait=False)


async def _moved(move: Callable[[str], Awaitable[object]], ids: tuple[str, ...]) -> tuple[str, ...]:
    """Those that were moved. Somebody else may have moved one of them meanwhile."""

    async def one(record: str) -> bool:
        try:
            await move(record)
        except (Conflict, NotFound):
            return False
        return True

    answers = await gather_limited(AT_ONCE, one, ids)
    return tuple(record for record, was_moved in zip(ids, answers, strict=True) if was_moved)
