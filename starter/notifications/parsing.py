"""A message as it is written in JSON, one object of content and options, becomes the `Submission` that is stored.

`POST /v1/messages` and its batch, and the files of `hermod send-batch`, all come through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json

from hermod.contracts.errors import FieldError, HermodError, InvalidInput
from hermod.contracts.notifications.content import CONTENT_OF, AnyContent
from hermod.contracts.notifications.messages import AnyMessage, Options, Submission
from hermod.contracts.values.model import Model, is_unchecked
from starter.validation_errors import field_errors

KEY_FIELD: Final = "idempotency_key"
"""The field of a message in a batch that holds its idempotency key; a single message has a header for it."""

_MESSAGE: Final[TypeAdapter[AnyMessage]] = TypeAdapter(AnyMessage)
_CONTENT_FIELDS: Final = {channel: tuple(model.model_fields) for channel, model in CONTENT_OF.items()}
_OPTION_FIELDS: Final = tuple(Options.model_fields)


_Model = TypeVar("_Model", bound=BaseModel)


class MalformedJson(HermodError):
    """The text is no JSON. Says what was expected, and where."""


def read_json(text: bytes | str) -> Any:
    """What the text says. Raises MalformedJson, also for what lenient parsers let pass: NaN, half a surrogate pair."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as reason:
        raise MalformedJson(f"not JSON: {reason}") from None


def checked_again(one: _Model) -> _Model:
    """A model as its own rules have it, whatever made it: `model_copy(update=…)` and `model_construct` check nothing.

    Raises InvalidInput.
    """
    if isinstance(one, Model) and not is_unchecked(one):
        return one
    if not isinstance(one, BaseModel):
        raise InvalidInput.of("message", f"must be an Email, Sms, WhatsApp or Push, not {type(one).__name__}")
    strange = {name: value for name, value in vars(one).items() if name not in type(one).model_fields}
    given = one.model_dump(by_alias=True, exclude_unset=True, warnings=False) | strange
    try:
        return type(one).model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None


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


def submission(content: AnyContent, idempotency_key: str | None, options: Options) -> Submission:
    """The checked form of a call's arguments. Raises InvalidInput."""
    return _submission(checked_again(content), options, idempotency_key)


def checked_submission(asked: Submission) -> Submission:
    """A submission as its own rules have it. Raises InvalidInput."""
    return _submission(checked_again(asked.content), checked_again(asked.options), asked.idempotency_key)


def checked_or_why(one: AnyContent | Submission, options: Options) -> Submission | InvalidInput:
    try:
        return checked_submission(one) if isinstance(one, Submission) else submission(one, None, options)
    except InvalidInput as wrong:
        return wrong


def checked_options(options: Mapping[str, Any]) -> Options:
    """Raises InvalidInput."""
    try:
        return Options.model_validate(options)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, options, whole="options")) from None


def checked(model: type[_Model], given: object) -> _Model:
    """`given` as a model. Raises InvalidInput, naming each wrong field."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None


def _submission(content: AnyContent, options: Options, idempotency_key: str | None) -> Submission:
    given = {"content": content, "options": options, "idempotency_key": idempotency_key}
    try:
        return Submission.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given, whole="message")) from None
