"""What ProcessSubmission has done: the submission is brought as far as it can come now.

The record decides each step, and every step may be made again: the backend knows the submission by its id, and what is
announced has ids of its own. So an activity that was cut off anywhere is simply begun again. Whoever finds that another
one has taken its place ends without a further step.
"""

from __future__ import annotations

import random
from typing import Any

from temporalio import activity

from activities import errors
from activities.heartbeat import ActivityHeartbeat, current_heartbeat
from hermod.contracts.errors import NotFound, Unreadable
from hermod.contracts.forms.forms import ProcessSubmissionInput, SubmissionStatus, SubmissionStep
from hermod.domain.forms.submissions import Done, Expire, Save, Tell, Wait, backend_wait, next_move
from hermod.ports.forms.forms import Announcement, Announcer
from hermod.ports.forms.submissions import Backend, BackendAway, BackendRefused, SubmissionLedger, SubmissionRecord
from hermod.telemetry import RECORDS_MISSING, SAVES, get_logger
from hermod.telemetry import UNREADABLE as RECORDS_UNREADABLE

_log = get_logger(__name__)


class SubmissionActivities:
    def __init__(self, ledger: SubmissionLedger, backend: Backend, announcer: Announcer) -> None:
        self._ledger = ledger
        self._backend = backend
        self._announcer = announcer

    @activity.defn(name="process_submission")
    async def process_submission(self, order: ProcessSubmissionInput) -> SubmissionStep:
        try:
            return await self._process(order, current_heartbeat())
        except Unreadable as broken:
            RECORDS_UNREADABLE.labels("submission").inc()
            names = {"tenant": order.tenant, "submission": order.submission}
            _log.error("record_unreadable", kind="submission", error=str(broken), **names)
            run = activity.info().workflow_run_id
            return SubmissionStep(status=SubmissionStatus.FAILED, run=run, reason="unreadable")
        except NotFound:
            RECORDS_MISSING.labels("submission").inc()
            _log.warning("submission_missing", tenant=order.tenant, submission=order.submission)
            raise errors.no_such_record() from None

    async def _process(self, order: ProcessSubmissionInput, heartbeat: ActivityHeartbeat) -> SubmissionStep:
        run = activity.info().workflow_run_id or ""
        record = await self._ledger.open(order.tenant, order.submission, run, heartbeat.now(), is_reset=order.is_reset)
        token = record.fencing_token
        while record.status is not SubmissionStatus.FAILED:
            if record.fencing_token != token:
                raise errors.superseded()
            match next_move(record.standing, heartbeat.now()):
                case Save():
                    record = await self._save(record, run, heartbeat)
                case Tell() as tell:
                    await self._announcer.announce(announcement(record, tell, heartbeat))
                    record = await self._ledger.told(record, tell, heartbeat.now())
                case Expire():
                    record = await self._ledger.expire(record, heartbeat.now())
                case Wait() if record.untold or record.status is SubmissionStatus.PROCESSING:
                    # The record as it is then may say that it was paid in this very moment.
                    record = await self._ledger.awaiting(record, heartbeat.now())
                case Wait() as wait:
                    return SubmissionStep(status=record.status, wait_until=wait.until)
                case Done() as done:
                    before = record
                    record = await self._ledger.finish(before, done.status, heartbeat.now())
                    if record.is_as_read_in(before):
                        break
        return SubmissionStep(status=record.status, run=record.failed_run, reason=record.reason)

    async def _save(self, record: SubmissionRecord, run: str, heartbeat: ActivityHeartbeat) -> SubmissionRecord:
        """Raises ApplicationError with the next try's time where the backend is away."""
        try:
            backend_id = await self._backend.save(record)
        except BackendRefused as refusal:
            SAVES.labels("refused").inc()
            return await self._ledger.give_up(record, run, refusal.code, str(refusal), heartbeat.now())
        except BackendAway as away:
            SAVES.labels("away").inc()
            await self._ledger.troubled(record, away.code, str(away), heartbeat.now())
            delay = backend_wait(activity.info().attempt, random.random(), away.retry_after)
            raise errors.backend_away(away.code, delay) from None
        SAVES.labels("saved").inc()
        return await self._ledger.saved(record, backend_id, heartbeat.now())


def announcement(record: SubmissionRecord, tell: Tell, heartbeat: ActivityHeartbeat) -> Announcement:
    """Nothing in the payload is of this very try: a repeat tells the same."""
    about: dict[str, Any] = {
        "form": record.form,
        "form_revision": record.form_revision,
        "session": record.session,
        "contact": record.contact,
        "metadata": dict(record.metadata),
        "backend_id": record.backend_id,
        "submitted_at": record.created_at.isoformat(),
    }
    if record.status is SubmissionStatus.SPAM:
        about["spam"] = True
    return Announcement(
        tenant=record.tenant,
        moment=tell.moment,
        reference=record.id,
        turn=tell.turn,
        form=record.form,
        # Clocks differ a little: what is told comes after what it tells of.
        at=max(heartbeat.now(), record.changed_at),
        payload={"submission": record.id, **about, "data": record.data, "payment": record.payment},
        scope={
            "data": record.data or {},
            "form": record.form,
            "submission": {"id": record.id, **about},
            "payment": record.payment or {},
            "resume_url": None,
        },
        webhooks=record.terms.on_submit.webhooks,
        notifications=record.terms.on_submit.notifications,
        session=record.session,
        contact=record.contact,
        request_id=record.request_id,
    )
