"""What `format` means beyond jsonschema-rs, whose check of an address takes one with a display name for one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

_LOCAL: Final = re.compile(r"[^\s\"(),:;<>@\[\\\]\x00-\x1f\x7f]{1,64}")
_QUOTED: Final = re.compile(r'"(?:[^"\\\r\n\x00-\x1f\x7f]|\\[\x20-\x7e]){1,62}"')
_LABEL: Final = re.compile(r"[^\W_](?:[\w-]{0,61}[^\W_])?")
_LITERAL: Final = re.compile(r"\[(?:IPv6:[0-9A-Fa-f:.]{2,45}|\d{1,3}(?:\.\d{1,3}){3})\]")
_LONGEST: Final = 254


def is_address(value: str) -> bool:
    """Whether it is one mailbox and nothing around it (RFC 5321): no display name, no list, no comment."""
    local, at, domain = value.rpartition("@")
    if not at or len(value) > _LONGEST:
        return False
    if _LITERAL.fullmatch(domain) is None and not all(map(_LABEL.fullmatch, domain.split("."))):
        return False
    if _QUOTED.fullmatch(local):
        return True
    return _LOCAL.fullmatch(local) is not None and "" not in local.split(".")


def _is_ascii_address(value: str) -> bool:
    return value.isascii() and is_address(value)


FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {"email": _is_ascii_address, "idn-email": is_address}
