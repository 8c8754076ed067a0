"""The audit of promises, as a schedule has it made."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio import activity

from activities.heartbeat import current_heartbeat
from hermod.contracts.notifications.delivery import PromiseReport
from hermod.ports.promises import PromiseAudit
from hermod.telemetry import PROMISE_VIOLATIONS, get_logger

WINDOW: Final = timedelta(hours=6)
"""Records accepted within so long are looked at; what is open is, whatever its age."""

_log = get_logger(__name__)


class PromiseActivities:
    def __init__(self, promises: PromiseAudit) -> None:
        self._promises = promises

    @activity.defn(name="audit_promises")
    async def audit_promises(self) -> PromiseReport:
        """Count what breaks a promise, in the metric and in the report, and name it in the log."""
        heartbeat = current_heartbeat()
        now = heartbeat.now()
        found = await self._promises.audit(now, since=now - WINDOW, beat=heartbeat.beat)
        broken = {}
        for name, violations in found.items():
            if violations:
                PROMISE_VIOLATIONS.labels(*name).inc(len(violations))
                broken[f"{name.promise}/{name.kind}"] = len(violations)
            for one in violations:
                _log.error("promise_broken", tenant=one.tenant, record=one.id, detail=one.detail, **name._asdict())
        return PromiseReport(promises=len(found), broken=broken)
