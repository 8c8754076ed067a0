"""What is wrong with a form's definition beyond its shape: found when it is put, not when somebody submits it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hermod.contracts.errors import FieldError, InvalidInput
from hermod.contracts.forms.forms import FormInput
from hermod.domain.forms import notifications, schemas
from hermod.domain.templates.sandbox import Tokens

TOKEN: Final = "{token}"


def check(form: FormInput) -> None:
    """Raises InvalidInput, which names each field by its path."""
    if wrong := list(_faults(form)):
        raise InvalidInput(wrong)


def _faults(form: FormInput) -> Iterator[FieldError]:
    try:
        schemas.compiled(form.schema_)
    except InvalidInput as wrong:
        yield from wrong.errors
    tokens = Tokens()
    for place, notification in enumerate(form.on_submit.notifications):
        for fault in notifications.faults(notification, form.schema_, tokens):
            yield FieldError(f"on_submit.notifications.{place}.{fault.field}", fault.message)
        if tokens.used_up:
            break
    if form.partials.resume_url is not None and TOKEN not in form.partials.resume_url:
        yield FieldError("partials.resume_url", f"must have {TOKEN} where the resume token goes")
    honeypot, required = form.spam.honeypot, form.schema_.get("required")
    if honeypot is not None and isinstance(required, list) and honeypot in required:
        yield FieldError("spam.honeypot", "is a required field of the schema, and people leave it empty")
