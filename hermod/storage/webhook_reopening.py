"""How a delivery that has ended begins again, whether one is retried or a replay begins a thousand."""

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
