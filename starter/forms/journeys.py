"""Journeys: what somebody did with forms, and what they were told, from the first change to the last receipt."""

from __future__ import annotations

from typing import Final

from pydantic import TypeAdapter, ValidationError

from hermod.contracts.analytics.events import Reference
from hermod.contracts.errors import NotFound
from hermod.contracts.journeys import JourneyView
from starter.client import Hermod

_SUBJECT: Final[TypeAdapter[str]] = TypeAdapter(Reference)


async def journey(hermod: Hermod, subject: str) -> JourneyView:
    """`subject` is a contact or a session. Raises NotFound."""
    try:
        _SUBJECT.validate_python(subject)
    except ValidationError:
        raise NotFound("there is no such contact or session") from None
    return await hermod.core.storage.journeys.view(hermod.tenant, subject)
