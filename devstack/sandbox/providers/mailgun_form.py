"""Takes a multipart/form-data body apart, as strictly as RFC 7578 and 2046 allow."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_BOUNDARY: Final = re.compile(r'^multipart/form-data;\s*boundary="?([0-9A-Za-z\'()+_,./:=? -]{1,70})"?$', re.IGNORECASE)
_DISPOSITION: Final = re.compile(r'^form-data; name="([^"]*)"(?:; filename="([^"]*)")?$')
_ESCAPES: Final = (("%22", '"'), ("%0D", "\r"), ("%0A", "\n"))


class Part(NamedTuple):
    name: str
    content: bytes
    filename: str | None = None
    content_type: str | None = None

    @property
    def text(self) -> str:
        return self.content.decode()


class BadForm(Exception):
    """The body is no form."""


def parts_of(content_type: str, body: bytes) -> list[Part]:
    """The parts in their order. Raises BadForm."""
    found = _BOUNDARY.match(content_type)
    if found is None:
        raise BadForm("no multipart boundary param in Content-Type")
    line = b"--" + found[1].encode("ascii")
    start, *sections = (b"\r\n" + body).split(b"\r\n" + line)
    if start or not sections or sections[-1] not in (b"--", b"--\r\n"):
        raise BadForm("multipart: NextPart: EOF")
    return [_part(section) for section in sections[:-1]]


def _part(section: bytes) -> Part:
    head, blank, content = section.partition(b"\r\n\r\n")
    if not head.startswith(b"\r\n") or not blank:
        raise BadForm("multipart: malformed MIME header")
    headers: dict[str, str] = {}
    for line in head[2:].decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    found = _DISPOSITION.match(headers.get("content-disposition", ""))
    if found is None or not found[1]:
        raise BadForm("multipart: a part without a name")
    filename = _plain(found[2]) if found[2] is not None else None
    return Part(_plain(found[1]), content, filename, headers.get("content-type"))


def _plain(text: str) -> str:
    for escape, character in _ESCAPES:
        text = text.replace(escape, character)
    return text
