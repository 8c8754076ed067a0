"""Makes a provider's words fit for the record: one short line, without addresses and without credentials.

Providers like to quote what they refuse (`550 5.1.1 <ada@example.com>: user unknown`). Error texts are shown in
lists, logged and grouped, so who the message was for must not be in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

LONGEST_LINE: Final = 300
_LONGEST_INPUT: Final = 4_000
_SHORTEST_SECRET: Final = 6

_EMAIL = re.compile(r"(?:\"[^\"@]*\"|[^\s<>\"'(),;:@]+)@[^\s<>\"'(),;:@]*[^\s<>\"'(),;:@.]")
_PHONE = re.compile(r"(?<![\w.])(?:\+\d[\d ().-]{5,}\d|\d{7,15})(?![\w])")
_SPACE = re.compile(r"[\s\x00-\x1f\x7f]+")


def one_line(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` as one line of at most `LONGEST_LINE` characters; addresses and `secrets` give way to placeholders.

    Secrets shorter than six characters are left in: they would blot out ordinary words (a user name of `test`).
    """
    line = _SPACE.sub(" ", text[:_LONGEST_INPUT]).strip()
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            line = line.replace(secret, "[credential]")
    line = _PHONE.sub("[number]", _EMAIL.sub("[address]", line))
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"
