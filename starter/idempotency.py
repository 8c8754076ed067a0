"""The `Idempotency-Key` of a call: what makes it safe to repeat where its body has no id of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ValidationError

from hermod.contracts.errors import FieldError, InvalidInput
from hermod.contracts.messages import IdempotencyKey
from starter.wording import field_errors

KEY_HEADER: Final = "Idempotency-Key"
_EVENT_ID: Final = "event_id"


class _Keyed(BaseModel):
    key: IdempotencyKey | None = None


def checked_key(key: str | None) -> str | None:
    """Raises InvalidInput for a key that no caller may use."""
    try:
        return _Keyed(key=key).key
    except ValidationError as error:
        raise InvalidInput([FieldError(KEY_HEADER, one.message) for one in field_errors(error, {"key": key})]) from None


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
