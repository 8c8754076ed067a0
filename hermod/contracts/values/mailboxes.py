"""A mailbox as people and programs write it, `Ada <ada@example.com>`, taken apart and put together (RFC 5322, 3.4).

Own code, because `email.utils` reads such a text otherwise from one patch of Python to the next, and drops what it does
not understand. Nothing is dropped here: a name that is no phrase of the RFC (`Alert: Production`) is taken as it is.
"""

from __future__ import annotations

import base64
import binascii
import re
from itertools import groupby
from typing import Final, NamedTuple

from hermod.contracts.values.text import is_line

_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_NAMED: Final = re.compile(rf'((?:[^"]|{_QUOTED})*)<((?:[^"<>]|{_QUOTED})*)>', re.DOTALL)
_WORDS: Final = re.compile(rf'\s*(?:(?:{_QUOTED}|[^\s"]+)(?:\s+|$))*', re.DOTALL)
_WORD: Final = re.compile(rf'{_QUOTED}|[^"]+', re.DOTALL)
_CHARSET: Final = (
    r"utf-8|us-ascii|iso-8859-\d{1,2}|windows-125\d|koi8-[ru]|gb2312|gbk|gb18030|big5"
    r"|euc-(?:kr|jp)|shift_jis|iso-2022-jp"
)
_ENCODED_WORD: Final = rf"=\?({_CHARSET})(?:\*[a-z-]*)?\?([bq])\?([!->@-~]*)\?="
_ENCODED: Final = re.compile(_ENCODED_WORD, re.IGNORECASE)
_ENCODED_RUN: Final = re.compile(rf"(?<!\S){_ENCODED_WORD}(?:\s+{_ENCODED_WORD})*(?!\S)", re.IGNORECASE)
_PLAIN_NAME: Final = re.compile(r"[^\s()<>\[\]:;@\\,.\"]+(?: [^\s()<>\[\]:;@\\,.\"]+)*")


_LOCAL: Final = re.compile(rf"{_QUOTED}|[^\s\"(),:;<>@\[\]\\]+")
_DOMAIN: Final = re.compile(r"[^\s\"(),:;<>@\[\]\\]+")


class Mailbox(NamedTuple):
    """A name, which may be empty, and an address. As a text it is what `read_mailbox` makes the same of."""

    name: str
    local: str
    """Before the @: with its quotes, where it needs them (`"a b"`)."""
    domain: str

    @property
    def address(self) -> str:
        return f"{self.local}@{self.domain}"

    def __str__(self) -> str:
        return written(self.name, self.address)


def written(name: str, address: str) -> str:
    """`Zoë <zoe@example.com>`: the name in its own script, quoted where it has to be."""
    if not name:
        return address
    # What looks like an encoded word is quoted, so that nobody takes it for one.
    if _PLAIN_NAME.fullmatch(name) and "=?" not in name:
        return f"{name} <{address}>"
    return f"{quoted(name)} <{address}>"


def quoted(text: str) -> str:
    """A quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def split_address(text: str) -> tuple[str, str]:
    """`("Ada", "ada@example.com")` for `Ada <ada@example.com>`; the name is empty where there is none."""
    text = text.strip()
    found = _NAMED.fullmatch(text) if text.endswith(">") else None
    if found is not None:
        return _name(found[1].strip()), found[2].strip()
    before, bracket, address = text.removesuffix(">").rpartition("<")
    # A quotation mark that is never closed is one of the name's characters: `5" Screens <news@example.com>`.
    return (before.strip(), address.strip()) if bracket and text.endswith(">") else ("", text)


def read_mailbox(text: str) -> Mailbox:
    """Raises ValueError for what is no address, or more than a line."""
    name, address = split_address(text)
    local, _, domain = address.rpartition("@")
    if not (is_line(text) and _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain)):
        raise ValueError("not an email address")
    return Mailbox(name, local, domain)


def _name(written_name: str) -> str:
    """The text of a name: quotes taken off, encoded words (RFC 2047) read where they stand outside quotes."""
    if '"' not in written_name:
        return _decoded(written_name)
    if not _WORDS.fullmatch(written_name):
        return written_name
    return "".join(
        re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL) if word.startswith('"') else _decoded(word)
        for word in _WORD.findall(written_name)
    ).strip()


def _decoded(text: str) -> str:
    """A text with its encoded words read; as it stands where one cannot be read, or hides what is no line."""
    if "=?" not in text:
        return text
    try:
        decoded = _ENCODED_RUN.sub(_run, text)
    except ValueError:
        return text
    return decoded if decoded.strip() and is_line(decoded) else text


def _run(words: re.Match[str]) -> str:
    """Encoded words in a row: the space between them is not of the text, and some writers cut a character in two."""
    read = [(found[1].lower(), _bytes(found[2], found[3])) for found in _ENCODED.finditer(words[0])]
    return "".join(
        b"".join(data for _, data in same).decode(charset) for charset, same in groupby(read, key=lambda one: one[0])
    )


def _bytes(kind: str, content: str) -> bytes:
    """Raises ValueError."""
    if kind in "bB":
        return base64.b64decode(content, validate=True)
    return binascii.a2b_qp(content, header=True)
