"""The `Idempotency-Key` of a call: what makes it safe to repeat where its body has no id of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ValidationError

from hermod.contracts.errors import FieldError, InvalidInput
from hermod.contracts.notifications.messages import IdempotencyKey
from starter.validation_errors import field_errors

KEY_HEADER: Final = "Idempotency-Key"
LONGEST_FOR_BATCH: Final = 250
"""Characters of the key of a batch: `#4999` goes behind it, and a message's key has 255."""
_EVENT_ID: Final = "event_id"


class _Keyed(BaseModel):
    key: IdempotencyKey | None = None


def checked_key(key: str | None) -> str | None:
    """Raises InvalidInput for a key that no caller may use."""
    try:
        return _Keyed(key=key).key
    except ValidationError as error:
        raise InvalidInput([FieldError(KEY_HEADER, one.message) for one in field_errors(error, {"key": key})]) from None


def checked_batch_key(key: str | None) -> str | None:
    """The same for a key that is to have a message's place behind it."""
    if key is not None and len(key) > LONGEST_FOR_BATCH:
        raise InvalidInput.of(KEY_HEADER, f"must have at most {LONGEST_FOR_BATCH} characters")
    return checked_key(key)


def event_id_of(key: str, place: int = 0) -> str:
    """The id of the event that a call with this key made, of several the one at `place`: always the same."""
    return f"evt_{hashlib.sha256(f'{place} {key}'.encode()).hexdigest()[:28]}"


def with_event_ids(given: Sequence[object], key: str | None) -> Sequence[object]:
    """Events as they came, each that has no id with the one that the call's key gives it."""
    if key is None:
        return given
    return [
        {**one, _EVENT_ID: event_id_of(key, place)} if isinstance(one, Mapping) and one.get(_EVENT_ID) is None else one
        for place, one in enumerate(given)
    ]
