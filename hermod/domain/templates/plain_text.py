"""The text of an email, from its HTML: what a reader without pictures and styles would want to see.

A reader of its own instead of `html.parser`, which takes quadratic time over some broken pages; this one goes through a
page once, whatever it holds. Libraries for the purpose are under the GPL (html2text) or bring an XML parser and an HTTP
client along (inscriptis).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from html import unescape
from typing import Final, NamedTuple

_PIECE: Final = re.compile(
    r"([^<]*+)(<(?:[a-zA-Z](?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*|/[a-zA-Z][^>]*+)>)",
)
"""Words, and the tag that ends them."""
_NAME: Final = re.compile(r"</?([a-zA-Z][^\s/>]*)")
_VALUE: Final = r"\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'>]++))"
_HREF: Final = re.compile(r"(?<![\w-])href" + _VALUE, re.IGNORECASE)
_ALT: Final = re.compile(r"(?<![\w-])alt" + _VALUE, re.IGNORECASE)
_HIDDEN: Final = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_INVISIBLE: Final = dict.fromkeys(map(ord, "\u034f\u200b\u200c\ufeff"))

_UNSEEN: Final = frozenset("head title style script noscript template svg select".split())
_VOID: Final = frozenset("area base br col embed hr img input link meta source track wbr".split())
_OWED: Final[Mapping[str, int]] = dict.fromkeys(
    "div section article header footer main nav aside li tr dt dd address center form".split(), 1
) | dict.fromkeys("p h1 h2 h3 h4 h5 h6 ul ol dl table blockquote pre hr figure".split(), 2)
"""Line ends before and after an element: 1 begins a line, 2 a paragraph."""
_SPECIAL: Final = frozenset("a br hr img li ol pre td th ul".split())
_RAW: Final = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "title")}
"""Elements in which nothing but their own end is a tag."""
_DEEPEST_INDENT: Final = 8
_BETWEEN_CELLS: Final = "  "
_LONGEST_KEPT: Final = 512


class _Tag(NamedTuple):
    name: str
    ends: bool
    owed: int
    special: bool
    """Whether it does more than begin a line."""
    unseen: bool
    """Whether nothing up to its end is to be seen."""
    value: str
    """The address of a link, or the words of a picture."""


def text_of(html: str) -> str:
    """The twin: paragraphs, lists, rows of tables, and links with their addresses. Empty where nothing is."""
    writer = _Writer()
    position, end = 0, len(html)
    while position < end:
        found = _PIECE.match(html, position)
        if found is None:
            position = _irregular(html, position, writer)
            continue
        words, written = found.groups()
        if words:
            writer.words(words)
        tag = _kept(written) if len(written) <= _LONGEST_KEPT else _read(written)
        writer.tag(tag)
        position = found.end()
        if tag.name in _RAW and not tag.ends:
            closing = _RAW[tag.name].search(html, position)
            position = closing.start() if closing else end
    return writer.text()


def _irregular(html: str, position: int, writer: _Writer) -> int:
    """Words before something that is no tag; where to go on. A tag or a comment without an end ends the page."""
    opening = html.find("<", position)
    if opening < 0:
        writer.words(html[position:])
        return len(html)
    if opening > position:
        writer.words(html[position:opening])
    follower = html[opening + 1 : opening + 2]
    if follower in ("!", "?"):
        end = html.find("-->", opening + 2) + 3 if html.startswith("<!--", opening) else html.find(">", opening) + 1
        return end if end > opening else len(html)
    if (follower.isascii() and follower.isalpha()) or follower == "/":
        end = html.find(">", opening) + 1 if follower == "/" else 0
        return end or len(html)
    writer.words("<")
    return opening + 1


def _read(written: str) -> _Tag:
    found = _NAME.match(written)
    name = found[1].lower() if found else ""
    ends = written[1] == "/"
    hidden = not ends and "display" in written and _HIDDEN.search(written) is not None
    return _Tag(
        name=name,
        ends=ends,
        owed=_OWED.get(name, 0),
        special=name in _SPECIAL,
        unseen=not ends and name not in _VOID and (hidden or name in _UNSEEN),
        value="" if ends else _value(_HREF if name == "a" else _ALT, written) if name in ("a", "img") else "",
    )


_kept: Final = lru_cache(4096)(_read)
"""Most tags of a message are those of its template, and come again with the next."""


class _Writer:
    """Lines in the making. Spaces and line ends are owed until there are words to stand between."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._owed = 0
        """Line ends before the next words."""
        self._gap = ""
        self._lists: list[int | None] = []
        """Of each open list, the last number; None where it has bullets."""
        self._link: tuple[str, int] | None = None
        """The address of the link that is open, and where its words begin. Links do not nest."""
        self._unseen: list[str] = []
        self._verbatim = 0

    def words(self, raw: str) -> None:
        if self._unseen:
            return
        text = unescape(raw) if "&" in raw else raw
        if self._verbatim:
            self._put(text)
            return
        if not text.isascii():
            text = text.translate(_INVISIBLE)
        bare = " ".join(text.split())
        if not bare:
            self._gap = self._gap or " "
            return
        if not self._gap and text[0].isspace():
            self._gap = " "
        self._put(bare)
        if text[-1].isspace():
            self._gap = " "

    def tag(self, tag: _Tag) -> None:
        if self._unseen:
            if tag.name == self._unseen[-1]:
                self._unseen.pop() if tag.ends else self._unseen.append(tag.name)
        elif tag.unseen:
            self._unseen.append(tag.name)
        elif not tag.special:
            self._owed = max(self._owed, tag.owed)
        elif tag.ends:
            self._end(tag)
        else:
            self._begin(tag)

    def text(self) -> str:
        lines = "".join(self._out).split("\n")
        return "\n".join(line.rstrip() for line in lines).strip("\n")

    def _begin(self, tag: _Tag) -> None:
        self._owe(tag)
        match tag.name:
            case "a":
                self._link = (tag.value, len(self._out))
            case "img":
                self.words(tag.value)
            case "td" | "th":
                self._gap = _BETWEEN_CELLS
            case "br":
                self._owed = min(self._owed + 1, 2)
            case "hr":
                self._put("-" * 20)
                self._owed = 2
            case "pre":
                self._verbatim += 1
            case "ul" | "ol":
                self._lists.append(0 if tag.name == "ol" else None)
            case "li":
                self._bullet()

    def _end(self, tag: _Tag) -> None:
        if tag.name == "a" and self._link:
            self._address(*self._link)
            self._link = None
        elif tag.name == "pre" and self._verbatim:
            self._verbatim -= 1
        elif tag.name in ("ul", "ol") and self._lists:
            self._lists.pop()
        self._owe(tag)

    def _owe(self, tag: _Tag) -> None:
        inner_list = self._lists and tag.name in ("ul", "ol")
        self._owed = max(self._owed, 1 if inner_list else tag.owed)

    def _bullet(self) -> None:
        indent = "  " * min(len(self._lists) - 1, _DEEPEST_INDENT)
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        self._put(indent + ("- " if number is None else f"{number + 1}. "))

    def _address(self, href: str, begun: int) -> None:
        """The address behind a link's words, unless the words say it, or it leads nowhere outside the page."""
        shown = "".join(self._out[begun:]).strip()
        href = unescape(href).strip()
        plain = href.removeprefix("mailto:").removeprefix("tel:")
        if not href or href.startswith(("#", "javascript:")) or shown.rstrip("/") in (href.rstrip("/"), plain):
            return
        self._gap = " " if shown else self._gap
        self._put(f"({href})" if shown else href)

    def _put(self, text: str) -> None:
        if self._owed:
            if self._out:
                self._out.append("\n" * self._owed)
            self._owed = 0
        elif self._gap and self._out and not self._out[-1].endswith((" ", "\n")):
            self._out.append(self._gap)
        self._gap = ""
        self._out.append(text)


def _value(attribute: re.Pattern[str], written: str) -> str:
    found = attribute.search(written)
    return next((value for value in found.groups() if value), "") if found else ""
