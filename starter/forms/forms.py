"""Definitions of forms: for the API and the command line alike."""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from hermod.contracts.errors import InvalidInput
from hermod.contracts.forms.forms import FormId, FormInput, FormPage, FormView
from hermod.storage.forms.forms import PutForm
from starter.client import Hermod
from starter.validation_errors import field_errors

_ID: Final[TypeAdapter[str]] = TypeAdapter(FormId)


async def put_form(hermod: Hermod, form: str, given: Any) -> PutForm:
    """Store a definition that came as JSON. Raises InvalidInput, naming each wrong field by its path."""
    try:
        _ID.validate_python(form)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, form, whole="id")) from None
    try:
        definition = FormInput.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None
    core = hermod.core
    return await core.storage.forms.put(hermod.tenant, form, definition, actor=hermod.actor, now=core.clock.now())


async def form(hermod: Hermod, form: str) -> FormView:
    """Raises NotFound."""
    return await hermod.core.storage.forms.view(hermod.tenant, form)


async def forms(hermod: Hermod, *, cursor: str | None = None, limit: int = 50) -> FormPage:
    """By id."""
    return await hermod.core.storage.forms.page(hermod.tenant, cursor=cursor, limit=limit)


async def delete_form(hermod: Hermod, form: str) -> None:
    """Take no more submissions; those that there are go on. Raises NotFound."""
    core = hermod.core
    await core.storage.forms.delete(hermod.tenant, form, actor=hermod.actor, now=core.clock.now())
