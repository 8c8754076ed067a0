"""Partial submissions: what the API and the command line ask for, and what a resume token opens."""

from __future__ import annotations

from typing import Any

from hermod.contracts.errors import Gone, NotFound
from hermod.contracts.forms.forms import PartialReceipt, PartialStatus, PartialView, ResumeView
from starter.client import Hermod
from starter.forms.partial_revisions import draft_of, place
from starter.services import Services


async def save_partial(hermod: Hermod, form: str, session: str, given: Any) -> PartialReceipt:
    """Take in a revision that came as JSON. Raises InvalidInput, NotFound and Unavailable."""
    return await hermod.core.partials.save(hermod.tenant, draft_of(form, session, given))


async def partial(hermod: Hermod, form: str, session: str) -> PartialView:
    """Raises InvalidInput and NotFound."""
    where = place(form, session)
    return await hermod.core.storage.partials.view(hermod.tenant, where.form, where.session)


async def resumed(core: Services, token: str) -> ResumeView:
    """What a resume token opens. Raises NotFound, and Gone where the form has been sent or its contents are dropped."""
    about = core.storage.resume_tokens.open(token)
    if about is None:
        raise NotFound("there is no such form to go on with")
    try:
        view = await core.storage.partials.view(*about)
    except NotFound:
        raise NotFound("there is no such form to go on with") from None
    if view.status is PartialStatus.CONVERTED or view.submission is not None:
        raise Gone("this form has been sent")
    if view.data is None:
        raise Gone("what was entered is no longer kept")
    return ResumeView(
        form=view.form,
        session=view.session,
        revision=view.revision,
        data=view.data,
        updated_at=view.updated_at,
    )
