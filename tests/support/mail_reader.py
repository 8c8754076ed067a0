"""A small strict reader of mail headers, to hold our writer against: RFC 5322, RFC 2047 and RFC 2231, and no leniency.

Whatever a tolerant parser would let pass is an error here: bare line breaks, lines over 998, encoded words over 75 or
in the wrong place, a character cut in two, an address list that does not end where it should.
"""

from __future__ import annotations

import base64
import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

_ENCODED: Final = re.compile(r"=\?([!#-'*+0-9A-Z\\^-~-]+)\?([BbQq])\?([!->@-~]+)\?=")
_ATOM: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+")
_QUOTED: Final = re.compile(r'"((?:[^"\\\r\n]|\\[ -~])*)"')
_PARAMETER: Final = re.compile(r"([A-Za-z0-9-]+)(?:\*(\d+))?(\*)?=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))")


class Mail(NamedTuple):
    headers: list[tuple[str, str]]
    """Names and values, unfolded."""
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for given, value in self.headers if given.lower() == name.lower()]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value


def read(raw: bytes) -> Mail:
    """The header block and what follows it."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("utf-8").split("\r\n")
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", "".join(lines)), "a bare line break or a control character"
    headers: list[list[str]] = []
    for line in lines:
        assert len(line.encode()) <= 998, "a line over 998"
        if line.startswith((" ", "\t")):
            assert line.strip(), "a line of nothing but space"
            headers[-1][1] += line
            continue
        name, colon, value = line.partition(":")
        assert colon, f"no header: {line!r}"
        assert re.fullmatch(r"[!-9;-~]+", name), f"no header: {line!r}"
        headers.append([name, value])
    return Mail([(name, value.removeprefix(" ")) for name, value in headers], body)


def text(value: str) -> str:
    """An unstructured value. The space between two encoded words is not of the text (RFC 2047, 6.2)."""
    decoded, last_was_encoded, gap = "", False, ""
    for piece in re.split(r"([ \t]+)", value):
        if not piece:
            continue
        if not piece.strip():
            gap = piece
            continue
        found = _ENCODED.fullmatch(piece)
        assert found or not _ENCODED.search(piece), f"an encoded word inside another word: {piece!r}"
        decoded += "" if found and last_was_encoded else gap
        decoded += _word(piece) if found else piece
        last_was_encoded, gap = found is not None, ""
    return decoded + gap


def mailboxes(value: str) -> list[tuple[str, str]]:
    """An address list: names and addresses (RFC 5322, 3.4; no groups, no comments, nothing obsolete)."""
    found, at = [], 0
    while True:
        name, address, at = _mailbox(value, at)
        found.append((name, address))
        at = _skip(value, at)
        if at == len(value):
            return found
        assert value[at] == ",", f"no comma at {value[at:]!r}"
        at += 1


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """The value before the first semicolon and the parameters behind it, continued and encoded ones too (RFC 2231)."""
    kind, _, rest = value.partition(";")
    parts: dict[str, dict[int, tuple[bool, str]]] = {}
    at = 0
    while at < len(rest):
        at = _skip(rest, at)
        found = _PARAMETER.match(rest, at)
        assert found, f"no parameter: {rest[at:]!r}"
        name, number, encoded, quoted, token = found.groups()
        content = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else token
        sections = parts.setdefault(name.lower(), {})
        assert int(number or 0) not in sections, f"{name} twice"
        sections[int(number or 0)] = (encoded is not None, content)
        at = _skip(rest, found.end())
        assert at == len(rest) or rest[at] == ";", f"no semicolon at {rest[at:]!r}"
        at += 1
    return kind.strip(), {name: _joined(sections) for name, sections in parts.items()}


def _joined(sections: dict[int, tuple[bool, str]]) -> str:
    assert sorted(sections) == list(range(len(sections))), "a section is missing"
    joined = ""
    for number in range(len(sections)):
        encoded, content = sections[number]
        if encoded and number == 0:
            charset, _language, content = content.split("'")
            assert charset.lower() == "utf-8"
        joined += unquote_to_bytes(content).decode("utf-8") if encoded else content
    return joined


def _mailbox(value: str, at: int) -> tuple[str, str, int]:
    words: list[tuple[bool, str]] = []
    while True:
        at = _skip(value, at)
        if value[at] == "<":
            address, at = _address(value, at + 1)
            assert value[at] == ">"
            return _phrase(words), address, at + 1
        if not words and (bare := _try_address(value, at)):
            return "", *bare
        if found := _QUOTED.match(value, at):
            assert not _ENCODED.search(found[1]), "an encoded word inside quotes"
            words.append((False, re.sub(r"\\(.)", r"\1", found[1])))
        else:
            found = _ATOM.match(value, at)
            assert found, f"neither word nor address at {value[at:]!r}"
            encoded = _ENCODED.fullmatch(found[0]) is not None
            assert not encoded or re.fullmatch(r"[A-Za-z0-9!*+/=_-]+", _ENCODED.fullmatch(found[0])[3])  # type: ignore[index]
            words.append((encoded, _word(found[0]) if encoded else found[0]))
        at = found.end()


def _phrase(words: list[tuple[bool, str]]) -> str:
    joined = ""
    for place, (encoded, word) in enumerate(words):
        joined += (" " if place and not (encoded and words[place - 1][0]) else "") + word
    return joined


def _try_address(value: str, at: int) -> tuple[str, int] | None:
    try:
        return _address(value, at)
    except AssertionError:
        return None


def _address(value: str, at: int) -> tuple[str, int]:
    start = at
    local = _QUOTED.match(value, at) or re.compile(rf"{_ATOM.pattern}(\.{_ATOM.pattern})*").match(value, at)
    assert local, "no local part"
    at = local.end()
    domain = re.compile(r"@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*").match(value, at)
    assert domain, "no domain"
    return value[start : domain.end()], domain.end()


def _skip(value: str, at: int) -> int:
    while at < len(value) and value[at] in " \t":
        at += 1
    return at


def _word(word: str) -> str:
    assert len(word) <= 75, "an encoded word over 75"
    found = _ENCODED.fullmatch(word)
    assert found
    charset, kind, content = found.groups()
    if kind in "Bb":
        data = base64.b64decode(content, validate=True)
    else:
        data = re.sub(
            rb"=([0-9A-F]{2})", lambda one: bytes.fromhex(one[1].decode()), content.replace("_", " ").encode()
        )
    return data.decode(charset)
