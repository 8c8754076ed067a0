"""Headers as the log of attempts keeps them: no secrets of either side, no more of them than a page holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from hermod.outbound.webhooks.requests import SHOWN_HEADERS
from hermod.outbound.webhooks.signatures import SIGNATURE

MASK: Final = "***"
MOST_HEADERS: Final = 64
MOST_BYTES: Final = 8 * 1024
"""Of all names and values together."""
_LONGEST_VALUE: Final = 1024
_OF_THE_WIRE: Final = frozenset({"accept", "accept-encoding", "connection", "content-length", "host"})
"""Added by the client itself, so they are no secrets, unless an endpoint has set them."""
_SECRET_ANSWERS: Final = frozenset({"set-cookie", "set-cookie2", "authentication-info", "proxy-authentication-info"})


def request_headers(sent: Iterable[tuple[str, str]], given: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The headers of a request with their secrets masked. `given` are those that it was ordered with."""
    custom = {name.lower() for name, _ in given}
    shown = SHOWN_HEADERS | (_OF_THE_WIRE - custom)
    return _joined((name.lower(), _masked(name.lower(), value, shown)) for name, value in sent)


def response_headers(headers: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    """The headers of an answer: bounded in number and size, readable as text, without the cookies it sets.

    Their names are given in lower case.
    """
    kept: list[tuple[str, str]] = []
    room = MOST_BYTES
    for given, value in headers[:MOST_HEADERS]:
        name = _text(given.encode("latin-1"))
        text = MASK if name in _SECRET_ANSWERS else _text(value)[:_LONGEST_VALUE]
        room -= len(name.encode()) + len(text.encode())
        if room < 0:
            break
        kept.append((name, text))
    return _joined(kept)


def _masked(name: str, value: str, shown: frozenset[str]) -> str:
    if name == SIGNATURE:
        return " ".join(f"{entry.partition(',')[0]},{MASK}" for entry in value.split())
    return value if name in shown else MASK


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Repeated headers become one, with commas, as HTTP has it."""
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _text(value: bytes) -> str:
    """The value as text that every database takes: bytes that are no UTF-8 and control characters are replaced."""
    readable = value.decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "�" for character in readable)
