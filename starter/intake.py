"""A message as it is written in JSON, one object of content and options, becomes the `Submission` that is stored.

`POST /v1/messages` and its batch, and the files of `hermod send-batch`, all come through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from hermod.contracts.content import CONTENT_OF
from hermod.contracts.errors import FieldError, HermodError, InvalidInput
from hermod.contracts.messages import AnyMessage, Options, Submission
from starter.wording import field_errors

KEY_FIELD: Final = "idempotency_key"
"""The field of a message in a batch that holds its idempotency key; a single message has a header for it."""

_MESSAGE: Final[TypeAdapter[AnyMessage]] = TypeAdapter(AnyMessage)
_CONTENT_FIELDS: Final = {channel: tuple(model.model_fields) for channel, model in CONTENT_OF.items()}
_OPTION_FIELDS: Final = tuple(Options.model_fields)


class MalformedJson(HermodError):
    """The text is no JSON. Says what was expected, and where."""


def read_json(text: bytes | str) -> Any:
    """What the text says. Raises MalformedJson, also for what lenient parsers let pass: NaN, half a surrogate pair."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as reason:
        raise MalformedJson(f"not JSON: {reason}") from None


def message_from(given: object, *, idempotency_key: object = None, key_field: str = KEY_FIELD) -> Submission:
    """Check a message that came as JSON. Raises InvalidInput; `key_field` is what the caller calls the key."""
    try:
        message = _MESSAGE.validate_python(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given, tag="channel")) from None
    content = CONTENT_OF[message.channel].model_construct(
        **{name: getattr(message, name) for name in _CONTENT_FIELDS[message.channel]}
    )
    options = Options.model_construct(**{name: getattr(message, name) for name in _OPTION_FIELDS})
    try:
        return Submission(content=content, options=options, idempotency_key=idempotency_key)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = field_errors(error, {KEY_FIELD: idempotency_key})
        raise InvalidInput([FieldError(key_field, one.message) for one in wrong]) from None


def keyed_message_from(given: object, *, default_key: str | None = None) -> Submission:
    """`message_from` for a message that may carry its idempotency key in a field. Raises InvalidInput."""
    if not isinstance(given, Mapping) or KEY_FIELD not in given:
        return message_from(given, idempotency_key=default_key)
    message = dict(given)
    key = message.pop(KEY_FIELD)
    return message_from(message, idempotency_key=key)
