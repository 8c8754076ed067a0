"""Plain values held to what every part of the way can carry: Python, JSON, PostgreSQL, ClickHouse, a provider.

A value that one part takes and the next one refuses would fail after it was accepted, and with it whatever shares its
statement: Python has no year 10000, PostgreSQL no NUL, UTF-8 no half of a surrogate pair, and a rate of 1e-300 is a
wait that no clock can count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from hermod.contracts.values.addresses import is_stored

LEAST_RATE: Final = 0.0001
"""A second: one in some three hours. Slower than that is a pause, and not a rate."""
MOST_RATE: Final = 10_000
_BEGINS_WITH_A_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ]|$)")


def is_sendable(text: str) -> bool:
    """Whether it can be stored and sent: no NUL, no half of a surrogate pair."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def sendable(text: str) -> str:
    """`text` without what cannot be stored."""
    return text if is_sendable(text) else text.replace("\0", "").encode("utf-8", "replace").decode()


def checked_text(value: str) -> str:
    """Raises ValueError."""
    if not is_sendable(value):
        raise ValueError("must be text without NUL characters, in valid Unicode")
    return value


def _text(value: str, info: ValidationInfo) -> str:
    return value if is_stored(info) else checked_text(value)


def _written_out(value: object) -> object:
    """A number is no time here, nor a string with one: nobody can say whether it counts seconds or milliseconds."""
    if isinstance(value, bool | int | float) or (isinstance(value, str) and not _BEGINS_WITH_A_DATE.match(value)):
        raise PydanticCustomError("datetime_type", "Input should be a valid datetime")
    return value


def _instant(value: datetime) -> datetime:
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be within the years 1 to 9999 in UTC") from None
    return value


NO_NUL: Final = r"^[^\x00]*$"
Text = Annotated[str, AfterValidator(_text), Field(json_schema_extra={"pattern": NO_NUL})]
"""Any text, in any number of lines."""

Instant = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_instant)]
"""A moment, as RFC 3339 writes it, with its time zone. `9999-12-31T23:59:59.999999Z` stands for never, as elsewhere."""

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""Takes no string and no truth value: in Python True is the number 1, which nobody means."""


@dataclass(frozen=True)
class Whole:
    """In `Annotated[int, Whole(1, 10)]`: a whole number from `least` to `most`, and as strict as a `Number`. `5.0` is
    one: JSON makes no difference, and some languages write it so.
    """

    least: int
    most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.int_schema(strict=True, ge=self.least, le=self.most)
        return core_schema.no_info_before_validator_function(_without_point, bounded)


def _without_point(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Flag = Annotated[bool, Field(strict=True)]
"""True or false, and no word or number that could stand for them."""

Rate = Annotated[Number, Field(ge=LEAST_RATE, le=MOST_RATE)]
"""So many a second."""
