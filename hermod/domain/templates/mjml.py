"""MJML to HTML, by mrml where it is installed (the extra `mjml`).

mrml follows tags by recursion and has no end to it: some thousand levels end the process. So what it is given is read
here first, and refused where its tags are not in pairs, or too deep.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from hermod.domain.templates.meter import TemplateFault

try:
    from mjml import mjml2html as _convert
except ImportError:
    _convert = None  # type: ignore[assignment]

AVAILABLE: Final = _convert is not None
MISSING: Final = "MJML is not installed here: install hermod with its extra `mjml`, or give html"
MAX_LEVELS: Final = 100
MAX_CHARACTERS: Final = 256 * 1024
"""Of MJML, after its variables are put in."""

# No possessive groups: Python before 3.11.5 gets them wrong. Single characters are fine, and keep this linear.
_PIECE: Final = re.compile(
    r"<(?:!--(?P<comment>(?!-?>)(?:[^-]|-(?!->|-!>))*)-->"
    r"|(?P<close>/)?(?P<name>[a-zA-Z][a-zA-Z0-9:-]*+)"
    r"(?P<attributes>(?:\s++[^\s<>=\"'/]++(?:\s*+=\s*+(?:\"[^\"<>]*+\"|'[^'<>]*+'))?)*)\s*+(?P<alone>/)?>)"
)
_VOID: Final = frozenset("area base br col embed hr img input link meta source track wbr".split())


def html_of(source: str) -> str:
    """The page. Raises TemplateFault, with the line of what was filled in."""
    convert: Callable[[str], str] | None = _convert
    if convert is None:
        raise TemplateFault(MISSING)
    if len(source) > MAX_CHARACTERS:
        raise TemplateFault(f"comes to more than {MAX_CHARACTERS // 1024} KiB of MJML")
    check(source)
    try:
        return convert(source)
    except ValueError as error:
        raise TemplateFault(f"is no MJML: {' '.join(str(error).split())[:200]}") from None


def check(source: str) -> None:
    """Raises TemplateFault for what is no tree of tags, or a tree too deep."""
    begun: list[str] = []
    position = source.find("<")
    while position >= 0:
        found = _PIECE.match(source, position)
        if found is None:
            raise TemplateFault("has a < that begins no tag; write &lt;", _line(source, position))
        name = found["name"]
        if name == "mj-include":
            raise TemplateFault("mj-include is not available in a stored template", _line(source, position))
        if name is not None and found["close"]:
            if not begun or begun.pop() != name:
                raise TemplateFault(f"has a </{name}> that ends nothing", _line(source, position))
        elif name is not None and not found["alone"] and name.lower() not in _VOID:
            begun.append(name)
            if len(begun) > MAX_LEVELS:
                raise TemplateFault(f"has tags more than {MAX_LEVELS} levels deep", _line(source, position))
        position = source.find("<", found.end())
    if begun:
        raise TemplateFault(f"has no </{begun[-1]}>")


def _line(source: str, position: int) -> int:
    return source.count("\n", 0, position) + 1
