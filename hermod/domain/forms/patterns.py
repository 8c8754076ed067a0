"""Regular expressions of a form's schema: those of ECMA-262, as the page that shows the form matches them too.

The engine is Rust's. What it would read in another way is written for it or refused here, and how much it will build
is reckoned before it does: `\\p{L}{500}` are ten characters and a tenth of a second.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_REPEATED: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_OTHER_MEANING: Final = {
    "A": "use ^ for the beginning",
    "z": "use $ for the end",
    "Z": "use $ for the end",
    "x{": r"use \u{…} for a character",
}
"""Escapes that ECMA's expressions do not have, and Rust's do."""
_FEW_STATES: Final = 10
"""What a set of many characters comes to, `.` or `[^<>]`, in states of the machine that is built."""
_MANY_STATES: Final = 100
"""The same for a class of Unicode, `\\p{L}`."""
_MOST: Final = 10**6


class Pattern(NamedTuple):
    source: str
    """As Rust's engine reads it."""
    states: int
    """About how many states it is compiled to: what it costs to compile, in time and in memory."""


class PatternFault(Exception):
    """What is wrong with a pattern."""


def read(pattern: str) -> Pattern:
    """Raises PatternFault for what Rust's engine would read in another way than ECMA's."""
    source: list[str] = []
    groups = [0]
    """States of the groups that are open, the innermost last."""
    last, at = 0, 0
    while at < len(pattern):
        taken, states = pattern[at], 1
        if taken == "\\":
            taken, states = _escaped(pattern, at)
        elif taken == "[":
            taken, states = _set(pattern, at)
        elif taken == "(":
            groups.append(0)
            states = 0
        elif taken == ")" and len(groups) > 1:
            states = groups.pop()
        elif taken == ".":
            states = _FEW_STATES
        elif taken == "{" and (repeated := _REPEATED.match(pattern, at)):
            taken = repeated[0]
            states = last * (max(_times(repeated[1]), _times(repeated[2] or "")) - 1)
        groups[-1] = min(groups[-1] + states, _MOST)
        last, at = states, at + len(taken)
        source.append(_written(taken))
    return Pattern("".join(source), min(sum(groups), _MOST))


def _escaped(pattern: str, at: int) -> tuple[str, int]:
    """The escape that begins at `at`, and its states."""
    kind = pattern[at + 1 : at + 2]
    if advice := _OTHER_MEANING.get(kind) or _OTHER_MEANING.get(pattern[at + 1 : at + 3]):
        raise PatternFault(f"\\{kind} has no meaning in the regular expressions of ECMA-262: {advice}")
    if kind in ("p", "P"):
        end = pattern.find("}", at) + 1 if pattern.startswith("{", at + 2) else at + 3
        return pattern[at : end or len(pattern)], _MANY_STATES
    return pattern[at : at + 2], _FEW_STATES if kind in tuple("dDsSwW") else 1


def _set(pattern: str, at: int) -> tuple[str, int]:
    """The set of characters that begins at `at`, and its states."""
    states, end = _FEW_STATES, at + 1
    while end < len(pattern) and pattern[end] != "]":
        if pattern[end] == "\\":
            taken, inner = _escaped(pattern, end)
            states += inner if inner == _MANY_STATES else 0
            end += len(taken)
        else:
            end += 1
    return pattern[at : end + 1], states


def _times(digits: str) -> int:
    return min(int(digits[:7] or 0), _MOST)


def _written(taken: str) -> str:
    r"""As Rust reads it: to it, `\<` and `\>` are the beginning and the end of a word."""
    return re.sub(r"\\(.)", lambda found: found[1] if found[1] in "<>" else found[0], taken, flags=re.DOTALL)
