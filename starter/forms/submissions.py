"""Following submissions, and the moves that people make: for the API and the command line alike."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from hermod.contracts.errors import InvalidInput
from hermod.contracts.forms.forms import (
    SubmissionInput,
    SubmissionPage,
    SubmissionReceipt,
    SubmissionStatus,
    SubmissionSummary,
    SubmissionView,
)
from hermod.storage.notifications.releasing import ReleasedSubmissions
from starter.client import Hermod
from starter.idempotency import checked_key
from starter.temporal.signals import followed_up
from starter.validation_errors import field_errors


async def submit(
    hermod: Hermod, form: str, given: Any, *, idempotency_key: str | None = None, request_id: str | None = None
) -> SubmissionReceipt:
    """Take in a submission that came as JSON. Raises InvalidInput, naming each wrong field, NotFound and TooMany."""
    try:
        asked = SubmissionInput.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None
    key = checked_key(idempotency_key)
    return await hermod.core.submissions.take(hermod.tenant, form, asked, key=key, request_id=request_id)


async def submission(hermod: Hermod, submission: str) -> SubmissionView:
    """The whole story. Raises NotFound."""
    return await hermod.core.storage.submissions.view(hermod.tenant, submission)


async def submissions(
    hermod: Hermod,
    *,
    form: str | None = None,
    status: SubmissionStatus | None = None,
    error_code: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    discarded: bool | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> SubmissionPage:
    """The newest first. The dead letters are those with the status `failed`; with a status, those that were discarded
    are left out, unless `discarded` says otherwise.
    """
    return await hermod.core.storage.submissions.page(
        hermod.tenant,
        form=form,
        status=status,
        error_code=error_code,
        since=since,
        until=until,
        discarded=discarded,
        cursor=cursor,
        limit=limit,
    )


async def retry_submission(hermod: Hermod, submission: str, *, wait: bool = True) -> SubmissionSummary:
    """Begin a dead letter again, at the step that failed. Raises NotFound and Conflict.

    Without `wait`, it is started behind the answer.
    """
    core = hermod.core
    moved = await core.storage.submissions.retry(hermod.tenant, submission, actor=hermod.actor, now=core.clock.now())
    if not wait:
        core.restarts.start(
            lambda: followed_up(core.submissions.begin_again(hermod.tenant, submission, moved.request_id))
        )
        return moved.summary
    started = await followed_up(core.submissions.begin_again(hermod.tenant, submission, moved.request_id))
    return moved.summary.model_copy(update={"status": SubmissionStatus.PROCESSING}) if started else moved.summary


async def release_submission(hermod: Hermod, submission: str) -> SubmissionSummary:
    """Say that what was caught as spam is none: it is processed like any other, once it fits its form.

    Raises NotFound, Conflict, and InvalidInput, naming each field that does not fit the form as it is now.
    """
    core = hermod.core
    view = await core.storage.submissions.view(hermod.tenant, submission)
    if view.status is SubmissionStatus.SPAM and view.data is not None:
        await core.submissions.check(hermod.tenant, view.form, view.data)
    released = ReleasedSubmissions(core.storage.database)
    moved = await released.release(hermod.tenant, submission, actor=hermod.actor, now=core.clock.now())
    if view.session is not None:
        core.partials.converted(hermod.tenant, view.form, view.session)
    started = await followed_up(core.submissions.begin_again(hermod.tenant, submission, moved.request_id))
    return moved.summary.model_copy(update={"status": SubmissionStatus.PROCESSING}) if started else moved.summary


async def discard_submission(hermod: Hermod, submission: str) -> SubmissionSummary:
    """Take a dead letter off the list; its record stays. Raises NotFound and Conflict."""
    core = hermod.core
    moved = await core.storage.submissions.discard(hermod.tenant, submission, actor=hermod.actor, now=core.clock.now())
    return moved.summary
