"""How a delivery that has ended begins again, whether one is retried or a replay begins a thousand.

Its event may be dropped at the same moment (`hermod.storage.secrets.contents`, which has the order of the locks). So
whoever reopens deliveries locks them, and then their events, before changing anything: an event that is held so stays.
"""

from __future__ import annotations

from typing import Final

OWNER: Final = (
    "CASE WHEN order_key IS NULL THEN 'webhook/' || tenant_id || '/' || id "
    "ELSE 'webhook-order/' || tenant_id || '/' || endpoint_id || '.' || order_key END"
)
"""The workflow that owns a delivery which is on its own: its line's where it keeps order, else one of its own id."""

AFRESH: Final = (
    "status = 'pending', spent = 0, finished_at = NULL, failed_run = NULL, dead_at = NULL, parked_at = NULL, "
    "status_code = NULL, error = NULL, next_attempt_at = NULL, discarded_at = NULL, wait_reason = NULL, "
    f"workflow_id = {OWNER}"
)
"""Assignments of an UPDATE of `webhook_deliveries`. Its attempts are counted on, so that the log stays one."""

PAYLOAD_GONE: Final = "its payload is not there any more"
"""Why an open delivery has ended without a request."""


def with_event(condition: str) -> str:
    """CTEs for an UPDATE: `own` are the deliveries that `condition` names, locked; `kept` those of them whose event is
    there and stays until the end of the transaction.

    A sub-select in the UPDATE's own condition would not do: it sees what was there when the statement began, also where
    the row has been changed since.
    """
    return f"""
    own AS MATERIALIZED (
      SELECT id, event_id FROM webhook_deliveries
       WHERE tenant_id = :tenant AND {condition}
       ORDER BY id FOR NO KEY UPDATE
    ), event AS MATERIALIZED (
      SELECT id FROM webhook_events
       WHERE tenant_id = :tenant AND id = ANY(ARRAY(SELECT event_id FROM own)) ORDER BY id FOR KEY SHARE
    ), kept AS MATERIALIZED (
      SELECT own.id FROM own JOIN event ON event.id = own.event_id
    )
    """  # noqa: S608 - conditions are constants of the callers
