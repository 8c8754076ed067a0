"""What can be wrong with a call, as one small tree.

HermodError
  InvalidInput           the caller's data is wrong, field by field   (422)
    IdempotencyMismatch  same key, another body                       (422)
  NotFound               no such record for this tenant               (404)
  Gone                   there was such a record                      (410)
  Conflict               the record's state forbids it                (409)
  Unauthorized           no or a wrong key                            (401)
  TooMany                too often for now; later again               (429)
  Unreadable             what is stored of a record is broken       (500)
  NewerRecord            a later version has stored the record      (503)
  Unavailable            one of our own servers is away; try again    (503)
    MaybeStored          it went away before it answered: look first  (503)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self


class FieldError(NamedTuple):
    """One wrong field: its path in the body (`attachments.0.content_base64`) and what to do about it."""

    field: str
    message: str


class HermodError(Exception):
    """The root of all errors that Hermod raises on purpose. The text is fit to show to a caller."""


class InvalidInput(HermodError):
    """The input is wrong. `errors` names each field; nothing was stored."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in self.errors))

    @classmethod
    def of(cls, field: str, message: str) -> Self:
        return cls([FieldError(field, message)])


class IdempotencyMismatch(InvalidInput):
    """The idempotency key was used before with another body."""

    def __init__(self) -> None:
        super().__init__([FieldError("Idempotency-Key", "this key was used before with another body")])


class NotFound(HermodError):
    """The tenant has no such record."""


class Gone(HermodError):
    """There was such a record, and it does not come back. The text says what became of it."""


class Conflict(HermodError):
    """The record exists, and its state forbids the call. The text says which state and why."""


class Unauthorized(HermodError):
    """No credentials, or wrong or revoked ones."""


class TooMany(HermodError):
    """It was done too often."""

    retry_after: float = 1.0
    """Seconds after which it may be done again."""

    def __init__(self, text: str, *, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(text)


class Unreadable(HermodError):
    """What is stored of one record cannot be read, and will not be by trying again. The text has no contents."""


class NewerRecord(HermodError):
    """A record has fields that this version does not know: it waits for a process of the later one. The text has no
    contents."""


class Unavailable(HermodError):
    """A server of ours (database, Temporal) did not answer. Nothing was stored; the call may be repeated."""


class MaybeStored(Unavailable):
    """The database went away before it answered: what was asked for may have been done, or may be done yet.

    The text says what makes a repeat safe.
    """
