"""A statement for many records that one of them spoils: made again for fewer, until that one is alone.

Nothing of a statement is stored that fails, so that what it was for can be tried again in parts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import orjson
from pydantic_core import PydanticSerializationError

from hermod.contracts.errors import HermodError, InvalidInput, MaybeStored, Unavailable
from hermod.storage.database.engine import NOT_STORABLE
from hermod.telemetry import get_logger

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_NOT_WRITABLE: Final = (UnicodeError, OverflowError, PydanticSerializationError, orjson.JSONEncodeError)

_log = get_logger(__name__)


async def store_apart(
    store: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], items: Sequence[Item]
) -> list[Answer | Exception]:
    """For each item its answer, or the error that is its own.

    `store` has one answer for each item, and stores all of them or none. Raises Unavailable where nothing was stored.
    """
    try:
        return list(await store(items))
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is somebody's of these
        if len(items) == 1:
            return [_own(error)]
        _log.warning("statement_parted", records=len(items), error=type(error).__name__)
    answers: list[Answer | Exception] = []
    middle = len(items) // 2
    for part in (items[:middle], items[middle:]):
        try:
            answers += await store_apart(store, part)
        except Unavailable as error:
            if not any(not isinstance(answer, Exception) for answer in answers):
                raise
            lost = error if isinstance(error, MaybeStored) else Unavailable(str(error))
            answers += [lost] * len(part)
    return answers


def _own(error: Exception) -> Exception:
    """What the one record's caller is told."""
    if isinstance(error, HermodError):
        return error
    if isinstance(error, _NOT_WRITABLE):
        return InvalidInput.of("body", NOT_STORABLE)
    return error
