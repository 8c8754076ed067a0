"""JSON that may be anything inside (`data`, `metadata`), held to what every part of the way can carry.

An object that one part takes and the next one refuses would fail after it was accepted: PostgreSQL's jsonb knows no
NUL, orjson no integers beyond 64 bits, JSON itself no NaN.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, ValidationInfo

from hermod.contracts.values.addresses import is_trusted

_RULE: Final = "must be plain JSON: no NaN or Infinity, no integers beyond 64 bits, no NUL characters, 200 levels deep"
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _plain(value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if not value or is_trusted(info):
        return value
    try:
        orjson.dumps(value)
        written = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(_RULE) from None
    if "\\u0000" in written and _NUL.search(written):
        raise ValueError(_RULE)
    return value


PlainObject = Annotated[dict[str, Any], AfterValidator(_plain)]
"""A JSON object with anything inside."""
