"""What the reference says of fields that go together, as fragments of JSON Schema; the models' validators check it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

_NOTHING: Final[list[object]] = [None, "", [], {}]


def filled(name: str) -> dict[str, Any]:
    """The field is there, and says something."""
    return {"required": [name], "properties": {name: {"not": {"enum": _NOTHING}}}}


def blank(names: Iterable[str]) -> dict[str, Any]:
    """The fields are not there, or say nothing."""
    return {"properties": {name: {"enum": _NOTHING} for name in names}}


def absent(names: Iterable[str]) -> dict[str, Any]:
    """The fields are not there, or null."""
    return {"properties": {name: {"type": "null"} for name in names}}
