"""The words by which a person opts out of text messages, back in, or asks for help.

A keyword is the whole message, never a word within one: "Stop" and "« STOP. »" opt out, "the bus stop is closed" does
not. The words are those that the CTIA handbook, the FCC's rules of 2025 and the vendors' own lists name. To opt out it
may be said twice, politely, with what should stop, and above a phone's signature: "Please stop texting me. Thank you".
To opt in it may not: nobody is written to on a guess. What is none of this is for a person to read.

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

MOST: Final = 1_000
"""Characters that are looked at for a signature."""
_SIGNATURE: Final = re.compile(
    r"(^|\n)\s*(--|—|__|>|on .{5,100} wrote:)|\bget outlook for\b"
    r"|\b(sent from|envoyé (de|depuis)|gesendet (von|mit)|von mein\w*|enviado d\w+|inviato da\w*|skickat från)"
    r"\b.*\b(i?phone|ipad|android|galaxy|samsung|mobile|outlook|mail|handy|móvil|smartphone|device|pixel)",
    re.IGNORECASE,
)
_BETWEEN: Final = re.compile(r"[\s.,!?;:…]+")
_POLITE: Final = frozenset(
    "please pls plz kindly thanks thank thx ty you now immediately bitte danke merci svp gracias favor por".split()
)
_OBJECT: Final = (
    r"( (me|it|this|these|the|your|my|all|any|more|sending|texting|messaging|contacting|spamming|text|texts|sms|message"
    r"|messages|msgs|number|from|to|list))*"
)
_STOPPING: Final = re.compile(
    rf"((stop|stopall|unsubscribe|opt ?(me )?out){_OBJECT}|cancel|end|quit|revoke|arret|arrêt|td|remove"
    rf"|(remove|take) (me|my number)( (off|from) (the|this|your)?( ?list)?)?)"
    rf"( (stop|stopall|unsubscribe|optout|opt out|cancel|end|quit|remove){_OBJECT})*"
)

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
    said = _above_signature(unicodedata.normalize("NFKC", text[:MOST]))
    if len(said) > LONGEST:
        return None
    words = _JOINTS.sub(" ", _bared(said)).casefold()
    return _WORDS.get(words) or (Keyword.STOP if _asks_to_stop(words) else None)


def _above_signature(text: str) -> str:
    """The text without a signature or a quoted message below it, as phones and mail programs add them."""
    found = _SIGNATURE.search(text)
    return text[: found.start()] if found and _bared(text[: found.start()]) else text


def _asks_to_stop(words: str) -> bool:
    """Whether nothing is said but the wish to get no more messages."""
    said = _BETWEEN.sub(" ", words.replace("'", "").replace("’", "")).strip()
    left = " ".join(word for word in said.split() if word not in _POLITE)
    return _STOPPING.fullmatch(left) is not None


def _bared(text: str) -> str:
    """The text from its first letter or digit to its last."""
    kept = [place for place, character in enumerate(text) if character.isalnum()]
    return text[kept[0] : kept[-1] + 1] if kept else ""
