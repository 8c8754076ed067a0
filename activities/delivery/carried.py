"""Outcomes that the database could not take yet, in the form in which a heartbeat carries them to the next try.

Ids and codes only: heartbeat details are part of what Temporal stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hermod.contracts.messages import Outcome
from hermod.contracts.outcomes import (
    Accepted,
    AccountHalted,
    AnyOutcome,
    MessageRejected,
    OutcomeUnknown,
    RecipientRejected,
    Throttled,
    Transient,
)
from hermod.ports.ledger import Result

_KINDS: Final[dict[Outcome, type[AnyOutcome]]] = {
    kind.kind: kind
    for kind in (Accepted, Throttled, Transient, OutcomeUnknown, RecipientRejected, MessageRejected, AccountHalted)
}


class Unrecorded(Exception):
    """Requests were made, and the database did not take their outcomes, which must reach the next dispatch."""

    def __init__(self, results: Sequence[Any]) -> None:
        super().__init__("the database does not take the outcomes")
        self.results = results


Carried = Mapping[tuple[str, int], tuple[AnyOutcome, int | None]]
"""By message id and attempt number: the outcome and the request's duration in milliseconds."""


def pack(results: Sequence[Result]) -> list[list[Any]]:
    return [
        [
            result.message,
            result.number,
            result.outcome.kind.value,
            result.outcome.status_code,
            result.outcome.error_code,
            result.outcome.provider_id if isinstance(result.outcome, Accepted) else None,
            result.duration_ms,
        ]
        for result in results
    ]


def unpack(details: Sequence[Any]) -> Carried:
    """What an earlier try left; nothing where it left nothing."""
    carried: dict[tuple[str, int], tuple[AnyOutcome, int | None]] = {}
    for message, number, kind, status_code, error_code, provider_id, duration in details[0] if details else ():
        codes = {"status_code": status_code, "error_code": error_code}
        outcome: AnyOutcome
        if kind == Outcome.ACCEPTED:
            outcome = Accepted(provider_id=provider_id, **codes)
        else:
            outcome = _KINDS[Outcome(kind)](**codes)
        carried[(message, number)] = (outcome, duration)
    return carried
