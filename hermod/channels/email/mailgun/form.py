"""multipart/form-data (RFC 7578) as browsers write it: what Mailgun wants for everything it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class File:
    name: str
    content_type: str
    content: bytes


Field = tuple[str, str | File]
"""A name and its value. Names may repeat."""


def encode(fields: Sequence[Field]) -> tuple[str, bytes]:
    """The content type, which names the boundary, and the body.

    The boundary is a hash of all that stands between: no content can hold it, and the same fields give the same bytes.
    """
    parts = [_part(name, value) for name, value in fields]
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    boundary = digest.hexdigest()
    line = b"--" + boundary.encode("ascii")
    pieces = [piece for part in parts for piece in (line, b"\r\n", part, b"\r\n")]
    return f"multipart/form-data; boundary={boundary}", b"".join([*pieces, line, b"--\r\n"])


def _part(name: str, value: str | File) -> bytes:
    head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    if isinstance(value, str):
        return f"{head}\r\n\r\n{value}".encode()
    head += f'; filename="{_quoted(value.name)}"\r\nContent-Type: {value.content_type}'
    return f"{head}\r\n\r\n".encode() + value.content


def _quoted(text: str) -> str:
    """A name in UTF-8, its quotes and line breaks escaped as the HTML standard does."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
