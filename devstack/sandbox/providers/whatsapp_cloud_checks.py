"""What Meta checks in a WhatsApp message, with its codes. The first fault is the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

MAX_TEXT: Final = 4_096
MAX_CALLBACK_DATA: Final = 512
_FIELDS: Final = frozenset(
    ("messaging_product", "recipient_type", "to", "type", "text", "template", "context", "biz_opaque_callback_data")
)
_TO: Final = re.compile(r"^\+?[1-9][0-9]{6,14}$")
_TEMPLATE_NAME: Final = re.compile(r"^[a-z0-9_]{1,512}$")
_LANGUAGE: Final = re.compile(r"^[a-z]{2,3}(_[A-Z]{2,3})?$")
_COMPONENTS: Final = frozenset(("header", "body", "button", "carousel", "limited_time_offer"))
_BUTTONS: Final = frozenset(("url", "quick_reply", "copy_code", "flow", "catalog", "mpm", "voice_call"))
_MEDIA: Final = frozenset(("image", "video", "document"))


class MetaError(NamedTuple):
    code: int
    title: str
    details: str = ""
    status: int = 400
    kind: str = "OAuthException"


def missing(name: str) -> MetaError:
    return MetaError(131008, "Required parameter is missing", f"Parameter {name} is missing")


def invalid(name: str) -> MetaError:
    return MetaError(131009, "Parameter value is not valid", f"Parameter {name} is not valid")


def check_message(message: dict[str, Any]) -> MetaError | None:
    """The first thing that is wrong with the message, or None where Meta would take it."""
    return next(_faults(message), None)


def _faults(message: dict[str, Any]) -> Iterator[MetaError]:
    for name in message.keys() - _FIELDS:
        yield MetaError(100, "Invalid parameter", f'Unexpected key "{name}" on param "messages"')
    if message.get("messaging_product") != "whatsapp":
        yield MetaError(100, "Invalid parameter", "messaging_product must be whatsapp")
    if message.get("recipient_type", "individual") != "individual":
        yield invalid("recipient_type")
    if not message.get("to"):
        yield missing("to")
    elif not isinstance(message["to"], str) or not _TO.match(message["to"]):
        yield invalid("to")
    data = message.get("biz_opaque_callback_data", "")
    if not isinstance(data, str) or len(data) > MAX_CALLBACK_DATA:
        yield invalid("biz_opaque_callback_data")
    kind = message.get("type", "text")
    if kind == "text":
        yield from _text_faults(message.get("text"))
    elif kind == "template":
        yield from _template_faults(message.get("template"))
    else:
        yield MetaError(131051, "Unsupported message type", f"Message type {kind} is not supported")


def _text_faults(text: object) -> Iterator[MetaError]:
    if not isinstance(text, dict) or not text.get("body"):
        yield missing("text.body")
    elif not isinstance(text["body"], str) or len(text["body"]) > MAX_TEXT:
        yield invalid("text.body")
    elif text.keys() - {"body", "preview_url"} or not isinstance(text.get("preview_url", False), bool):
        yield invalid("text")


def _template_faults(template: object) -> Iterator[MetaError]:
    if not isinstance(template, dict) or not template.get("name"):
        yield missing("template.name")
        return
    if not isinstance(template["name"], str) or not _TEMPLATE_NAME.match(template["name"]):
        yield invalid("template.name")
    language = template.get("language")
    if not isinstance(language, dict) or not isinstance(language.get("code"), str):
        yield missing("template.language.code")
    elif not _LANGUAGE.match(language["code"]):
        yield MetaError(132001, "Template name does not exist in the translation", status=404)
    if template.keys() - {"name", "language", "components"}:
        yield invalid("template")
    components = template.get("components", [])
    if not isinstance(components, list) or not all(isinstance(one, dict) for one in components):
        yield invalid("template.components")
        return
    for component in components:
        yield from _component_faults(component)


def _component_faults(component: dict[str, Any]) -> Iterator[MetaError]:
    kind, parameters = component.get("type"), component.get("parameters", [])
    if kind not in _COMPONENTS:
        yield invalid("template.components.type")
    if kind == "button" and component.get("sub_type") not in _BUTTONS:
        yield invalid("template.components.sub_type")
    if kind == "button" and not str(component.get("index", "")).isdigit():
        yield invalid("template.components.index")
    if not isinstance(parameters, list) or not all(isinstance(one, dict) for one in parameters):
        yield invalid("template.components.parameters")
        return
    texts = [one for one in parameters if one.get("type") == "text"]
    named = [one for one in texts if "parameter_name" in one]
    if named and len(named) < len(texts):
        yield MetaError(132012, "Parameter format does not match format in the created template")
    if not all(_is_parameter(one) for one in parameters):
        yield MetaError(132012, "Parameter format does not match format in the created template")


def _is_parameter(parameter: dict[str, Any]) -> bool:
    kind = parameter.get("type")
    value = parameter.get(kind) if isinstance(kind, str) else None
    if kind in ("text", "payload", "coupon_code"):
        return isinstance(value, str) and bool(value)
    if kind in ("currency", "date_time"):
        return isinstance(value, dict) and isinstance(value.get("fallback_value"), str)
    if kind in _MEDIA:
        return isinstance(value, dict) and ("link" in value or "id" in value)
    return kind in ("location", "action") and isinstance(value, dict)
