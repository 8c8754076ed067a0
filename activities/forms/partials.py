"""What SavePartial has done: a look at the partial, and whatever is new about it told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from temporalio import activity

from activities import errors
from activities.heartbeat import current_heartbeat
from hermod.contracts.forms.forms import FormMoment, PartialStatus, SavePartialInput
from hermod.contracts.forms.partial_steps import PartialLook
from hermod.ports.forms.forms import Announcement, Announcer
from hermod.ports.forms.partials import Partials, PartialSnapshot
from hermod.telemetry import RECORDS_MISSING, get_logger

_log = get_logger(__name__)


class PartialActivities:
    def __init__(self, partials: Partials, announcer: Announcer) -> None:
        self._partials = partials
        self._announcer = announcer

    @activity.defn(name="look_at_partial")
    async def look_at_partial(self, partial: SavePartialInput) -> PartialLook:
        own = current_heartbeat()
        return await self._look(partial, own.now())

    async def _look(self, partial: SavePartialInput, now: datetime) -> PartialLook:
        seen = await self._partials.look(partial.tenant, partial.form, partial.session, now)
        if seen is None:
            # Retention leaves a partial that has something to wait for: it was lost, as in a failover to an older copy.
            RECORDS_MISSING.labels("partial").inc()
            _log.warning("partial_missing", tenant=partial.tenant, form=partial.form, session=partial.session)
            raise errors.no_such_record()
        for news in announcements(seen):
            await self._announcer.announce(news)
        is_still_so = await self._partials.told(seen)
        due = seen.due_at
        return PartialLook(
            status=seen.status,
            revision=seen.revision,
            abandonments=seen.abandonments,
            seconds=None if due is None else max((due - now).total_seconds(), 0.0),
            has_changed=not is_still_so,
        )


def announcements(seen: PartialSnapshot) -> Iterator[Announcement]:
    """What is new. Of a form that has been sent in the meantime, only what was decided before; of spam, nothing.

    Whoever came back before the message of an abandonment was made is not written to.
    """
    if seen.status is PartialStatus.SPAM:
        return
    if seen.is_new and seen.status is not PartialStatus.CONVERTED:
        yield _told(seen, FormMoment.PARTIAL, turn=str(seen.revision), at=seen.updated_at)
    if seen.abandonment_is_new and seen.abandoned_at is not None:
        yield _told(seen, FormMoment.ABANDONED, turn=str(seen.abandonments), at=seen.abandoned_at)


def _told(seen: PartialSnapshot, moment: FormMoment, *, turn: str, at: datetime) -> Announcement:
    resume_url = seen.rules.resume_url and seen.rules.resume_url.replace("{token}", seen.resume_token)
    state: dict[str, Any] = {"revision": seen.revision, "abandonments": seen.abandonments}
    payload = {
        "form": seen.form,
        "session": seen.session,
        "contact": seen.contact,
        **state,
        "changed_at": seen.updated_at.isoformat(),
        "data": seen.data,
        "resume_url": resume_url,
    }
    return Announcement(
        tenant=seen.tenant,
        moment=moment,
        reference=f"{seen.form}.{seen.session}",
        turn=turn,
        form=seen.form,
        at=at,
        payload=payload,
        scope={
            "data": seen.data or {},
            "form": seen.form,
            "session": seen.session,
            "partial": state,
            "resume_url": resume_url,
        },
        webhooks=seen.rules.webhooks,
        notifications=seen.notifications if seen.status is PartialStatus.ABANDONED else (),
        session=seen.session,
        contact=seen.contact,
    )
