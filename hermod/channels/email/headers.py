"""Mail headers, written out: the encoding and folding of every value and parameter (RFC 5322, 2047, 2231).

All of it is here, and nothing is left to `email.policy`, which reads a value before it writes it: it takes a text that
looks like an encoded word for one, and writes what is hidden in it, line breaks included, into the header. Here a value
is text. What would be read as something else than it says is encoded.

Each function gives one header, folded at CRLF, without the CRLF behind it. Lines have 78 characters where the value can
be broken, and never more than 998; an encoded word has 75 at most and holds whole characters. All of it is ASCII, but
for the local parts of addresses that are not. Raises ValueError for what no header can hold.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from posixpath import splitext
from typing import Final

from hermod.contracts.values.mailboxes import Mailbox, quoted

CRLF: Final = "\r\n"
_LINE: Final = 78
_LONGEST_LINE: Final = 998
_LONGEST_WORD: Final = 75
_ROOM: Final = _LINE - 1
"""For one piece on a line of its own, behind the space that a folded line begins with."""
_LEAST_ROOM: Final = 40
"""For the first piece beside a long name: no reader expects a line that ends after the colon."""

_NAME: Final = re.compile(r"[!-9;-~]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_LIKE_ENCODED: Final = re.compile(r"=\?.*\?=")
"""What a tolerant reader may take for an encoded word, also where RFC 2047 allows none."""
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_SAFE_IN_WORD: Final = re.compile(r"[A-Za-z0-9!*+/-]")
"""What stands for itself in an encoded word, wherever that is (RFC 2047, 5 (3))."""
_SAFE_IN_PARAMETER: Final = re.compile(r"[A-Za-z0-9._~-]")


def subject(value: str) -> str:
    """`Subject`: exactly this text, with all its spaces."""
    name = "Subject"
    words = value.split(" ")
    exact = value.isascii() and not _LIKE_ENCODED.search(value) and (all(words) or not value)
    if exact and max(map(len, words)) <= _room_beside(name):
        return _folded(name, words)
    return _folded(name, encoded_words(value, beside=name))


def text(name: str, value: str) -> str:
    """Any other header. What is ASCII stays as it is, so that a machine reads it (`List-Unsubscribe: <https://…>`)."""
    words = value.split(" ")
    suspect = _LIKE_ENCODED.search(value) is not None
    strange = [
        at
        for at, word in enumerate(words)
        if not word.isascii() or (suspect and "=?" in word) or len(name) + 2 + len(word) > _LONGEST_LINE
    ]
    if not strange:
        return _folded(name, words)
    first, end = strange[0], strange[-1] + 1
    # Of several spaces beside an encoded word, all but one are part of it.
    while first > 0 and not words[first - 1]:
        first -= 1
    while end < len(words) and not words[end]:
        end += 1
    encoded = encoded_words(" ".join(words[first:end]), beside="" if first else name)
    return _folded(name, [*words[:first], *encoded, *words[end:]])


def mailboxes(name: str, people: Sequence[Mailbox]) -> str:
    """`From`, `To`, `Cc`, `Reply-To`: a list of names and addresses."""
    pieces: list[str] = []
    for place, person in enumerate(people):
        pieces += _mailbox(person, beside="" if place else name)
        pieces[-1] += "," if place < len(people) - 1 else ""
    return _folded(name, pieces)


def mailbox(person: Mailbox) -> str:
    """`=?utf-8?q?Zo=C3=AB?= <zoe@example.com>`: one of them on one line, for whoever writes the header for us."""
    return " ".join(_mailbox(person, beside=""))


def parameters(name: str, value: str, given: Mapping[str, str]) -> str:
    """`Content-Disposition: attachment; filename="a.pdf"`."""
    pieces = [value]
    for key, content in given.items():
        for piece in _parameter(key, content):
            pieces[-1] += ";"
            pieces.append(piece)
    return _folded(name, pieces)


def ascii_name(filename: str) -> str | None:
    """A file name for readers that know no RFC 2231, or None where the name itself is one that they can read."""
    if _is_plain_parameter("filename", filename):
        return None
    letters = unicodedata.normalize("NFKD", filename)
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    stem, ending = splitext(re.sub(r"[^A-Za-z0-9 ._()+-]", "_", bare))
    return stem[:50] + ending[:10]


def encoded_words(value: str, *, beside: str) -> list[str]:
    """A text as encoded words in UTF-8. `beside` is the header's name, where the first word shares its line."""
    if _CONTROL.search(value):
        raise ValueError("a header must not contain line breaks or control characters")
    pieces = [_in_word(character) for character in value]
    in_base64 = -(-len(value.encode()) // 3) * 4 < sum(map(len, pieces))
    words: list[str] = []
    for run in _runs(value, pieces, min(_LONGEST_WORD, _room_beside(beside)), in_base64=in_base64):
        kind, content = "q", "".join(map(_in_word, run))
        if in_base64:
            kind, content = "b", base64.b64encode(run.encode()).decode("ascii")
        words.append(f"=?utf-8?{kind}?{content}?=")
    return words


def _room_beside(name: str) -> int:
    """For the first piece of a header: what its name leaves of the line."""
    return max(_LINE - len(name) - 2, _LEAST_ROOM) if name else _ROOM


def _runs(value: str, pieces: Sequence[str], room: int, *, in_base64: bool) -> Iterable[str]:
    """The text in parts that fit an encoded word each: the first one into `room`."""
    overhead = len("=?utf-8?q??=")
    start = used = 0
    for at, character in enumerate(value):
        cost = len(character.encode()) if in_base64 else len(pieces[at])
        most = (room - overhead) // 4 * 3 if in_base64 else room - overhead
        if used + cost > most:
            yield value[start:at]
            start, used, room = at, 0, _LONGEST_WORD
        used += cost
    yield value[start:]


def _in_word(character: str) -> str:
    if _SAFE_IN_WORD.fullmatch(character):
        return character
    return "_" if character == " " else "".join(f"={byte:02X}" for byte in character.encode())


def _mailbox(person: Mailbox, *, beside: str) -> list[str]:
    if not person.name:
        return [person.address]
    return [*_phrase(person.name, beside=beside), f"<{person.address}>"]


def _phrase(name: str, *, beside: str) -> list[str]:
    """A display name: words as they are, or in quotes, or encoded."""
    if name.isascii() and "=?" not in name:
        words = name.split(" ")
        if _ATOMS.fullmatch(name) and max(map(len, words)) <= _room_beside(beside):
            return words
        if len(quoted(name)) <= _room_beside(beside):
            return [quoted(name)]
    return encoded_words(name, beside=beside)


def _is_plain_parameter(key: str, content: str) -> bool:
    """Whether it can stand in quotes, on a line, where every reader takes it as it is."""
    return (
        content.isascii()
        and content.isprintable()
        and not any(mark in content for mark in ('"', "\\", "<", ">", "=?"))
        and len(f'{key}="{content}";') <= _ROOM
    )


def _parameter(key: str, content: str) -> list[str]:
    """`filename="a.pdf"`; `filename*=utf-8''Gr%C3%B6%C3%9Fe.pdf`, in several sections where it is long (RFC 2231)."""
    if _is_plain_parameter(key, content):
        return [f'{key}="{content}"']
    charset, sections, room = "utf-8''", [""], _ROOM - len(f"{key}*00*=;")
    for character in content:
        safe = _SAFE_IN_PARAMETER.fullmatch(character)
        piece = character if safe else "".join(f"%{byte:02X}" for byte in character.encode())
        if len(sections[-1]) + len(piece) > room - (len(charset) if len(sections) == 1 else 0):
            sections.append("")
        sections[-1] += piece
    if len(sections) == 1:
        return [f"{key}*={charset}{sections[0]}"]
    return [f"{key}*{number}*={'' if number else charset}{section}" for number, section in enumerate(sections)]


def _folded(name: str, pieces: Iterable[str]) -> str:
    """`name: pieces`, joined by spaces, a line ended before the piece that does not fit it."""
    if not _NAME.fullmatch(name):
        raise ValueError("no name of a header")
    line = f"{name}:"
    lines: list[str] = []
    may_end = False
    for piece in pieces:
        if _CONTROL.search(piece):
            raise ValueError(f"the header {name} must not contain line breaks or control characters")
        # An empty piece is one of several spaces in a row: they stay together, as a line must not be all spaces.
        if piece and may_end and line.strip() and len(line) + 1 + len(piece) > _LINE:
            lines.append(line)
            line = ""
        line += f" {piece}"
        may_end = True
    lines.append(line)
    if any(len(one.encode()) > _LONGEST_LINE for one in lines):
        raise ValueError(f"the header {name} has a word that fits no line")
    return CRLF.join(lines)
