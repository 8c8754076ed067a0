"""Messages that a form sends: what its author wrote, filled in with what a visitor entered.

Recipients, texts and conditions are expressions of the same sandbox as stored templates. Whatever they come to goes
through the checks of every message afterwards, so nothing that a visitor enters can make a second recipient or header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from hermod.contracts.errors import FieldError, InvalidInput
from hermod.contracts.forms.forms import FormMoment, FormNotification
from hermod.contracts.notifications.content import CONTENT_OF
from hermod.contracts.notifications.messages import Options
from hermod.contracts.values.text import as_line
from hermod.domain.templates.absent import MissingVariable
from hermod.domain.templates.compiled import MARKUP
from hermod.domain.templates.meter import Meter, TemplateFault
from hermod.domain.templates.sandbox import Field, Tokens, compile_condition, compile_field

SCOPE_OF_SUBMISSION: Final = frozenset({"data", "form", "payment", "resume_url", "submission"})
SCOPE_OF_PARTIAL: Final = frozenset({"data", "form", "partial", "resume_url", "session"})
"""What expressions see, by what the notification is about."""
_OF_PARTIAL: Final = frozenset({FormMoment.PARTIAL, FormMoment.ABANDONED})
OWN_FIELDS: Final = frozenset({"channel", "to", "template", "locale"})
"""What a notification has beside its content."""
_ONE_LINE: Final = frozenset({"to", "subject", "title", "from", "reply_to", "cc", "bcc", "headers"})
"""Fields that lose line breaks and control characters: a visitor's name may have some."""
_DEEPEST: Final = 20
_HYPHENED: Final = re.compile(r"\bdata\.(\w+(?:-\w+)+)")
"""What is meant as the name of a field, and read as one less another."""


def faults(
    notification: FormNotification, schema: Mapping[str, Any] | None = None, tokens: Tokens | None = None
) -> Iterator[FieldError]:
    """What is wrong with a notification whatever is entered. Whether its template exists is seen when it is sent.

    `schema` is the form's, and `tokens` counts what was compiled for the form before.
    """
    known = {field.alias or name for name, field in CONTENT_OF[notification.channel].model_fields.items()}
    known |= Options.model_fields.keys()
    for name in notification.content:
        if name in OWN_FIELDS:
            yield FieldError(f"content.{name}", f"belongs beside `content`, as the notification's own `{name}`")
        elif name not in known:
            yield FieldError(f"content.{name}", f"a message of the channel {notification.channel.value} has none")
    if notification.template is not None and "data" in notification.content:
        yield FieldError(
            "content.data", "what a template sees is `data`, `form`, `submission`, `payment`, `resume_url`"
        )
    tokens = tokens or Tokens()
    for place, source, markup in _sources(notification):
        if place.count(".") > _DEEPEST:
            yield FieldError(place, f"is nested more than {_DEEPEST} levels deep")
            return
        try:
            if place == "when":
                field = compile_condition(source, tokens)
            elif "{" in source:
                field = compile_field(source, markup=markup, tokens=tokens)
            else:
                continue
        except TemplateFault as fault:
            yield FieldError(place, fault.message)
            if tokens.used_up:
                return
            continue
        if never := _never_there(notification, source, field, schema or {}):
            yield FieldError(place, never)


def _never_there(notification: FormNotification, source: str, field: Field, schema: Mapping[str, Any]) -> str | None:
    """What is asked for and can never be there, whatever is entered; None where all can."""
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    scope = SCOPE_OF_PARTIAL if notification.on in _OF_PARTIAL else SCOPE_OF_SUBMISSION
    unknown = sorted(field.variables - scope)
    for found in _HYPHENED.finditer(source):
        name, (first, *others) = found[1], found[1].split("-")
        if ("data", first) in field.asked and (name in properties or not set(unknown).isdisjoint(others)):
            return f'data.{name[:100]} is read as a calculation; write data["{name[:100]}"]'
    if unknown:
        return f"there is no {unknown[0][:100]} here, only {', '.join(sorted(scope))}; what was entered is in data"
    return None


def rendered(notification: FormNotification, scope: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message as `POST /v1/messages` takes one, or None where the notification's condition does not hold.

    Raises InvalidInput, which names the field of the notification and quotes nothing that was entered.
    """
    meter = Meter()
    if notification.when is not None and not _holds(notification.when, scope, meter):
        return None
    message: dict[str, Any] = {"channel": notification.channel.value}
    for name, value in notification.content.items():
        message[name] = _filled(name, value, scope, meter, markup=name in MARKUP)
    message["to"] = _filled("to", notification.to, scope, meter)
    if notification.locale is not None:
        message["locale"] = notification.locale
    if notification.template is not None:
        message |= {"template": notification.template, "data": dict(scope)}
    return message


def _holds(condition: str, scope: Mapping[str, Any], meter: Meter) -> bool:
    """Whether an expression is true; one that asks for what was not entered is not."""
    try:
        return bool(_condition(condition).render(scope, meter))
    except TemplateFault as fault:
        raise InvalidInput.of("when", fault.message) from None


def _filled(place: str, value: Any, scope: Mapping[str, Any], meter: Meter, *, markup: bool = False) -> Any:
    if isinstance(value, str):
        return _words(place, value, scope, meter, markup)
    if isinstance(value, Mapping):
        return {name: _filled(f"{place}.{name}", one, scope, meter, markup=markup) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(f"{place}.{at}", one, scope, meter, markup=markup) for at, one in enumerate(value)]
    return value


def _words(place: str, source: str, scope: Mapping[str, Any], meter: Meter, markup: bool) -> str:
    if "{" not in source:
        return source
    try:
        text = _compiled(source, markup).render(scope, meter)
    except MissingVariable as absent:
        raise InvalidInput.of(place, f"asks for {str(absent.name)[:100]}, which is not there") from None
    except TemplateFault as fault:
        raise InvalidInput.of(place, fault.message) from None
    is_line = place.partition(".")[0] in _ONE_LINE or place.endswith(".filename")
    return as_line(text) if is_line else text


def _sources(notification: FormNotification) -> Iterator[tuple[str, str, bool]]:
    """Everything that is an expression or may hold one: where, its source, and whether values are escaped in it."""
    yield "to", notification.to, False
    if notification.when is not None:
        yield "when", notification.when, False
    for name, value in notification.content.items():
        yield from ((place, text, name in MARKUP) for place, text in _texts(f"content.{name}", value))


def _texts(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _texts(f"{place}.{name}", one)
    elif isinstance(value, list | tuple):
        for at, one in enumerate(value):
            yield from _texts(f"{place}.{at}", one)


@lru_cache(maxsize=500)
def _compiled(source: str, markup: bool) -> Field:
    return compile_field(source, markup=markup)


@lru_cache(maxsize=500)
def _condition(expression: str) -> Field:
    return compile_condition(expression)
