"""Outcomes of requests that the database could not take yet, as a heartbeat carries them to the next try.

Ids and codes only: heartbeat details are part of what Temporal stores. What the receiver said is not among them, so an
attempt whose outcome came this way has no headers and no body in its log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from activities.notifications.heartbeat_details import Grant, grant
from activities.webhooks.transitions import NOT_MADE
from hermod.ports.webhooks.ledger import Exchange, WebhookResult

HeartbeatDetails = Mapping[Grant, Exchange]


def encode(results: Sequence[WebhookResult]) -> list[list[Any]]:
    return [
        [
            result.delivery,
            result.number,
            result.exchange.outcome,
            result.exchange.status_code,
            result.exchange.retry_after,
            result.exchange.duration_ms,
            result.ends_by and result.ends_by.isoformat(),
        ]
        for result in results
    ]


def decode(details: Sequence[Any]) -> HeartbeatDetails:
    """What an earlier try left; nothing where it left nothing.

    A request that was not made, of an unnamed grant, is left out: that grant may never have been committed.
    """
    return {
        grant(delivery, number, *named): Exchange(
            outcome=outcome, status_code=status_code, retry_after=retry_after, duration_ms=duration
        )
        for delivery, number, outcome, status_code, retry_after, duration, *named in (details[0] if details else ())
        if named or outcome != NOT_MADE.outcome
    }
