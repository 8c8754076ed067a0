"""What the errors of ClickHouse's client mean for us, by their class and ClickHouse's code, never by their text.

No code           the server is away, or something that is not ClickHouse answered        Unavailable
60, 81            a table or the database is missing: the schema is not there (yet)       Missing, which is Unavailable
158, 159 ...      a query would take too long, or too much memory                         TooMuch, which is Unavailable
a code of `DATA`  the rows cannot be read, however often they come                        Refused
any other code    busy, full, shutting down, not allowed, no such column, a bug           Unavailable

The last line is on purpose: rows are set aside only where ClickHouse says that they are what is wrong. Everything else
can be put right on the server or by a newer version, and the rows wait for it.
The texts of ClickHouse's errors quote data, so they go no further than this module.
"""

from __future__ import annotations

from typing import Final

from hermod.contracts.errors import Unavailable
from hermod.ports.analytics import Refused

DATA: Final = {
    6: "CANNOT_PARSE_TEXT",
    25: "CANNOT_PARSE_ESCAPE_SEQUENCE",
    26: "CANNOT_PARSE_QUOTED_STRING",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    131: "TOO_LARGE_STRING_SIZE",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    469: "VIOLATED_CONSTRAINT",
}
_MISSING: Final = frozenset({60, 81})
_TOO_MUCH: Final = frozenset({158, 159, 160, 241, 307, 396})
"""Too many rows or bytes, too long, too slow, too much memory, too large a result: the limits that we set."""


class Missing(Unavailable):
    """ClickHouse is there, and our tables are not."""


class TooMuch(Unavailable):
    """ClickHouse gave up within the limits that it was given."""


def translated(error: Exception, place: str) -> Unavailable | Refused:
    """`error` in our words. It must not become the cause of ours: its text may quote data."""
    code = getattr(error, "code", None)
    if code in DATA:
        return Refused(f"{DATA[code]} ({code})")
    if code in _MISSING:
        return Missing(f"ClickHouse at {place} has no tables of ours (code {code})")
    if code in _TOO_MUCH:
        return TooMuch(f"ClickHouse at {place} gives up (code {code})")
    if code is not None:
        return Unavailable(f"ClickHouse at {place} answers with code {code}")
    return Unavailable(f"ClickHouse at {place} does not answer ({_kind(error)})")


def _kind(error: Exception) -> str:
    """The class that says most: urllib3's reason behind the client's own wrapping."""
    inner: BaseException = error
    while isinstance(cause := getattr(inner, "reason", None) or inner.__cause__, BaseException):
        inner = cause
    return type(inner).__name__
