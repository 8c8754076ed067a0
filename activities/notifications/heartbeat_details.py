"""Outcomes that the database could not take yet, in the form in which a heartbeat carries them to the next try.

Ids and codes only: heartbeat details are part of what Temporal stores. They stay there until other ones replace them,
also when their grant was never committed and its number has become another one's. So each names its grant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from activities.notifications.requests import NOT_STARTED
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import (
    Accepted,
    AccountHalted,
    AnyOutcome,
    MessageRejected,
    OutcomeUnknown,
    RecipientRejected,
    Throttled,
    Transient,
)
from hermod.ports.notifications.ledger import InFlight, Result

_KINDS: Final[dict[Outcome, type[AnyOutcome]]] = {
    kind.kind: kind
    for kind in (Accepted, Throttled, Transient, OutcomeUnknown, RecipientRejected, MessageRejected, AccountHalted)
}


class OutcomesNotPersisted(Exception):
    """Requests were made, and the database did not take their outcomes, which must reach the next dispatch."""

    def __init__(self, results: Sequence[Any]) -> None:
        super().__init__("the database does not take the outcomes")
        self.results = results


Grant = tuple[str, int, datetime | None]
"""Record, attempt number, and when its request has ended at the latest. No two grants of a number have the same time;
None: a worker of a version that did not tell it."""
Told = TypeVar("Told")
HeartbeatDetails = Mapping[Grant, tuple[AnyOutcome, int | None]]
"""The outcome of a message's request, and its duration in milliseconds."""


def told_of(carried: Mapping[Grant, Told], record: str, number: int, request: InFlight) -> Told | None:
    """What was carried of this request."""
    return carried.get((record, number, request.ends_by)) or carried.get((record, number, None))


def grant(record: str, number: int, ends_by: str | None = None) -> Grant:
    """As it was packed."""
    return record, number, datetime.fromisoformat(ends_by) if ends_by is not None else None


def encode(results: Sequence[Result]) -> list[list[Any]]:
    return [
        [
            result.message,
            result.number,
            result.outcome.kind.value,
            result.outcome.status_code,
            result.outcome.error_code,
            result.outcome.provider_id if isinstance(result.outcome, Accepted) else None,
            result.duration_ms,
            result.ends_by and result.ends_by.isoformat(),
        ]
        for result in results
    ]


def decode(details: Sequence[Any]) -> HeartbeatDetails:
    """What an earlier try left; nothing where it left nothing.

    A request that was not made, of an unnamed grant, is left out: that grant may never have been committed.
    """
    carried: dict[Grant, tuple[AnyOutcome, int | None]] = {}
    for message, number, kind, status_code, error_code, provider_id, duration, *named in details[0] if details else ():
        if not named and error_code == NOT_STARTED.error_code:
            continue
        codes = {"status_code": status_code, "error_code": error_code}
        outcome: AnyOutcome
        if kind == Outcome.ACCEPTED:
            outcome = Accepted(provider_id=provider_id, **codes)
        else:
            outcome = _KINDS[Outcome(kind)](**codes)
        carried[grant(message, number, *named)] = (outcome, duration)
    return carried
