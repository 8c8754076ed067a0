"""Where a message may go from where it is. The ledger and the API's refusals read the sets; the arrows are the rule."""

from __future__ import annotations

from typing import Final

from hermod.contracts.notifications.messages import Status

_S = Status

PROGRESS: Final = {_S.SENT: 1, _S.DELIVERED: 2, _S.BOUNCED: 3, _S.COMPLAINED: 4}
"""What a provider's report can bring a message to, in the order in which it only ever moves: a delivered message may
still bounce (a server that took it gives up later), a bounced one is not delivered any more. Soft bounces are the
exception: they never stand against a delivery (`hermod.domain.notifications.receipts.following`)."""
_REPORTED: Final = frozenset(PROGRESS)

TRANSITIONS: Final[dict[Status, frozenset[Status]]] = {
    _S.PENDING: frozenset({_S.QUEUED, _S.SCHEDULED, _S.DEFERRED, _S.SENDING, _S.FAILED}) | _REPORTED,
    _S.SCHEDULED: frozenset({_S.QUEUED, _S.DEFERRED, _S.SENDING, _S.FAILED}) | _REPORTED,
    _S.DEFERRED: frozenset({_S.QUEUED, _S.SENDING, _S.FAILED}) | _REPORTED,
    _S.QUEUED: frozenset({_S.SCHEDULED, _S.DEFERRED, _S.SENDING, _S.FAILED}) | _REPORTED,
    _S.SENDING: frozenset({_S.SENT, _S.RETRYING, _S.UNKNOWN, _S.FAILED}),
    _S.RETRYING: frozenset({_S.SENDING, _S.FAILED, _S.UNKNOWN}) | _REPORTED,
    _S.UNKNOWN: frozenset({_S.FAILED, _S.RETRYING, _S.PENDING}) | _REPORTED,
    _S.SENT: frozenset({_S.DELIVERED, _S.BOUNCED, _S.COMPLAINED}),
    _S.DELIVERED: frozenset({_S.BOUNCED, _S.COMPLAINED}),
    _S.BOUNCED: frozenset({_S.COMPLAINED, _S.DELIVERED}),
    _S.FAILED: frozenset({_S.PENDING, _S.QUEUED}) | _REPORTED,
}
"""Beside these, every open state may become cancelled, suppressed or expired. `pending` after `failed` is a retry
whose workflow has yet to be started, after `unknown` an operator's word that it was not sent. A message that waits, or
was given up, is reported on where the outcome of an earlier request of it is not known
(`hermod.domain.notifications.receipts`)."""

WITHDRAWN: Final = frozenset({_S.CANCELLED, _S.SUPPRESSED, _S.EXPIRED})
OPEN: Final = frozenset({_S.PENDING, _S.QUEUED, _S.SCHEDULED, _S.DEFERRED, _S.SENDING, _S.RETRYING})
"""States in which Hermod still has something to do."""
CANCELLABLE: Final = OPEN - {_S.SENDING}
"""A request that is on its way cannot be called back."""
CLOSED: Final = frozenset(_S) - OPEN


def may_become(old: Status, new: Status) -> bool:
    """Whether the arrow exists."""
    return new in TRANSITIONS.get(old, frozenset()) or (old in OPEN and new in WITHDRAWN)
