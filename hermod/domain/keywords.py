"""The words by which a person opts out of text messages, back in, or asks for help.

A keyword is the whole message, never a word within one: "Stop" and "« STOP. »" opt out, "the bus stop is closed" does
not. The words are those that the CTIA handbook, the FCC's rules of 2025 and the vendors' own lists name.

YES is not among the words that opt in, although carriers take it for one: it answers any question a message may ask,
so it means an opt-in only where one is pending, which is for who keeps the consent to know.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import Final


class Keyword(StrEnum):
    STOP = "stop"
    START = "start"
    HELP = "help"


LONGEST: Final = 64
"""Characters of a message that is looked at: a longer one is no keyword, however much of it is punctuation."""

_JOINTS: Final = re.compile(r"[\s_\-\u2010-\u2015\u2212]+")
"""What people put between two words: "STOP ALL", "stop-all", "Opt\u2013Out" are the same word to us."""

_WORDS: Final[dict[str, Keyword]] = {
    **dict.fromkeys(
        (
            "stop",
            "stopall",
            "stop all",
            "unsubscribe",
            "cancel",
            "end",
            "quit",
            "revoke",
            "optout",
            "opt out",
            "remove",
            "arret",
            "arrêt",
            "td",
        ),
        Keyword.STOP,
    ),
    **dict.fromkeys(("start", "unstop"), Keyword.START),
    **dict.fromkeys(("help", "info"), Keyword.HELP),
}


def keyword(text: str) -> Keyword | None:
    """What the message asks for; None where it is an ordinary one.

    Case, the width of the letters, the spacing, and punctuation, quotes or emoji around the word make no difference.
    """
    if len(text) > LONGEST:
        return None
    return _WORDS.get(_JOINTS.sub(" ", _bared(unicodedata.normalize("NFKC", text))).casefold())


def _bared(text: str) -> str:
    """The text from its first letter or digit to its last."""
    kept = [place for place, character in enumerate(text) if character.isalnum()]
    return text[kept[0] : kept[-1] + 1] if kept else ""
