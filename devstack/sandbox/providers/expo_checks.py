"""What Expo checks in a request before it looks at any device: each message's shape, and that all go together."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, Final, NamedTuple

import orjson

MAX_MESSAGES: Final = 100
MAX_PAYLOAD: Final = 4096
"""Bytes of a message's words and data, as Apple and Google count them."""

_TOKEN: Final = re.compile(r"^Expo(?:nent)?PushToken\[([^\[\]\s]+)\]$")
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "to": str,
    "title": str,
    "subtitle": str,
    "body": str,
    "data": dict,
    "ttl": int,
    "expiration": int,
    "priority": str,
    "sound": (str, dict, type(None)),
    "badge": int,
    "channelId": str,
    "categoryId": str,
    "mutableContent": bool,
    "richContent": dict,
    "_contentAvailable": bool,
}


class ExpoError(NamedTuple):
    code: str
    message: str
    status: int = 400
    details: dict[str, Any] | None = None


class Refusal(Exception):
    """The whole request is refused."""

    def __init__(self, error: ExpoError) -> None:
        self.error = error
        super().__init__(error.code)


def check_messages(given: object) -> list[dict[str, Any]]:
    """The messages of a request, one or a list. Raises Refusal for the first fault."""
    messages: list[Any] = given if isinstance(given, list) else [given]
    if not messages:
        raise Refusal(ExpoError("VALIDATION_ERROR", "the list of messages is empty"))
    if len(messages) > MAX_MESSAGES:
        raise Refusal(ExpoError("PUSH_TOO_MANY_NOTIFICATIONS", f"at most {MAX_MESSAGES} messages in one request"))
    for place, message in enumerate(messages):
        fault = _fault(message)
        if fault is not None:
            raise Refusal(ExpoError("VALIDATION_ERROR", f'"[{place}]" {fault}'))
    _check_one_project(messages)
    return messages


def inner(token: str) -> str:
    """What stands between the brackets."""
    found = _TOKEN.match(token)
    return found[1] if found else ""


def is_too_big(message: dict[str, Any]) -> bool:
    words = {name: message[name] for name in ("title", "subtitle", "body", "data") if name in message}
    return len(orjson.dumps(words)) > MAX_PAYLOAD


def _fault(message: object) -> str | None:
    if not isinstance(message, dict):
        return "must be of type object"
    for name, value in message.items():
        kind = _TYPES.get(name)
        if kind is None:
            return f"has a field that is not allowed: {name}"
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            return f"has a {name} of the wrong type"
    if not inner(message.get("to", "")):
        return "has a to that is not a valid Expo push token"
    if message.get("ttl", 0) < 0:
        return "has a ttl below 0"
    if message.get("priority", "default") not in ("default", "normal", "high"):
        return "has a priority that is not default, normal or high"
    if "richContent" in message and not _is_rich(message["richContent"]):
        return "has a richContent that is not an image"
    return None


def _is_rich(content: dict[str, Any]) -> bool:
    return set(content) == {"image"} and isinstance(content["image"], str) and content["image"].startswith("http")


def _check_one_project(messages: list[dict[str, Any]]) -> None:
    """Here a token says itself whose it is: `ExponentPushToken[acme/…]` belongs to the project acme."""
    projects: defaultdict[str, list[str]] = defaultdict(list)
    for message in messages:
        project, slash, _ = inner(message["to"]).partition("/")
        projects[f"@sandbox/{project if slash else 'app'}"].append(message["to"])
    if len(projects) > 1:
        raise Refusal(
            ExpoError(
                "PUSH_TOO_MANY_EXPERIENCE_IDS",
                "All push notification messages in the same request must be for the same project",
                details=dict(projects),
            )
        )
