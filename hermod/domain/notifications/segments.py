"""How many parts an SMS is sent and billed in, and in which of the two alphabets of 3GPP TS 23.038.

An estimate to show before sending: some providers replace curly quotes on the way, and theirs is the number that is
paid.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Encoding(StrEnum):
    GSM_7 = "gsm_7"
    UCS_2 = "ucs_2"
    """Of the whole message, as soon as one character is not in GSM-7."""


class _Room(NamedTuple):
    """Units (septets, or UTF-16 code units) that fit into a message alone, and into one of several parts."""

    single: int
    part: int


_ROOM: Final = {Encoding.GSM_7: _Room(160, 153), Encoding.UCS_2: _Room(70, 67)}

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")
"""Two septets each: an escape, and the character."""
_ALL: Final = _BASIC | _EXTENDED


def encoding(text: str) -> Encoding:
    return Encoding.GSM_7 if _ALL.issuperset(text) else Encoding.UCS_2


def segments(text: str) -> int:
    """The number of parts, 0 for no text (a picture).

    Neither an escape and its character nor the two halves of a surrogate pair are split between two parts, so a part
    may stay one unit short, and a division would count too few.
    """
    if not text:
        return 0
    alphabet = encoding(text)
    room = _ROOM[alphabet]
    if alphabet is Encoding.GSM_7:
        units = [2 if character in _EXTENDED else 1 for character in text]
    else:
        units = [2 if character > "\uffff" else 1 for character in text]
    return 1 if sum(units) <= room.single else _packed(units, room.part)


def _packed(units: list[int], room: int) -> int:
    parts, left = 1, room
    for unit in units:
        if unit > left:
            parts, left = parts + 1, room
        left -= unit
    return parts
