"""A WhatsApp template in Twilio's terms: a content template (`HX…`) and its variables.

    name                     ContentSid: the SID of the content template, which stands for one language
    components[].parameters  ContentVariables: {"1": "Ann", "2": "42"}, or {"first_name": "Ann"}

Twilio numbers the variables of a content template through header, body and buttons. So do we: a parameter's number is
its place among all parameters, in the order of the components. Where the template's variables have names, or its
numbers run otherwise, every parameter says its own as `parameter_name`; the two ways do not mix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from hermod.contracts.notifications.content import WhatsAppTemplate

_CONTENT_SID: Final = re.compile(r"HX[0-9a-fA-F]{32}")
_PLACES: Final = {
    "text": ("text",),
    "payload": ("payload",),
    "coupon_code": ("coupon_code",),
    "currency": ("currency", "fallback_value"),
    "date_time": ("date_time", "fallback_value"),
    "image": ("image", "link"),
    "video": ("video", "link"),
    "document": ("document", "link"),
}
"""Where a parameter of each type keeps what Twilio puts in its place."""


class NotAtTwilio(ValueError):
    """The template cannot be said in Twilio's terms; the text says why."""


def content_sid(template: WhatsAppTemplate) -> str:
    """Raises NotAtTwilio."""
    if not _CONTENT_SID.fullmatch(template.name):
        raise NotAtTwilio("the template's name must be the SID of one of Twilio's content templates (HX…)")
    return template.name


def content_variables(template: WhatsAppTemplate) -> dict[str, str]:
    """By number or name. Raises NotAtTwilio."""
    found = list(_parameters(template))
    names = [parameter.get("parameter_name") for parameter in found]
    if any(names) and not all(isinstance(name, str) and name for name in names):
        raise NotAtTwilio("parameters with and without a parameter_name are mixed")
    keys = [str(name or number) for number, name in enumerate(names, 1)]
    if len(set(keys)) < len(keys):
        raise NotAtTwilio("two parameters have the same parameter_name")
    return dict(zip(keys, map(_value, found), strict=True))


def _parameters(template: WhatsAppTemplate) -> Iterator[dict[str, Any]]:
    for component in template.components:
        parameters = component.get("parameters", [])
        if not isinstance(parameters, list) or not all(isinstance(one, dict) for one in parameters):
            raise NotAtTwilio("a component's parameters must be a list of objects")
        yield from parameters


def _value(parameter: dict[str, Any]) -> str:
    kind = parameter.get("type")
    value: Any = parameter
    for step in _PLACES.get(str(kind), ("",)):
        value = value.get(step) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise NotAtTwilio(f"a parameter of type {kind} has no value that Twilio takes; it takes {', '.join(_PLACES)}")
    return value
