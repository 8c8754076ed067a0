"""A mail as it came over SMTP, taken apart for the inbox."""

from __future__ import annotations

import email
import re
import secrets
from collections.abc import Sequence
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from typing import Final

from devstack.sandbox.entry import Attachment, Entry

_SINGULAR: Final = frozenset(("from", "to", "cc", "bcc", "subject", "date", "message-id", "reply-to", "sender"))

_BREAKS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


class Malformed(Exception):
    """No mail that a server should take: RFC 5322 asks for one From, and forbids a second of most other headers."""


def parse(content: bytes, *, provider: str, sender: str, recipients: Sequence[str]) -> Entry:
    """The mail of an envelope. Raises Malformed."""
    message = email.message_from_bytes(content, policy=default)
    try:
        return _taken_apart(message, provider, sender, recipients)
    except (MessageError, ValueError, LookupError, AttributeError) as reason:
        raise Malformed(f"cannot be parsed: {reason}") from reason


def _taken_apart(message: EmailMessage, provider: str, sender: str, recipients: Sequence[str]) -> Entry:
    headers = _headers(message)
    _check_headers(message)
    bodies: dict[str, str] = {}
    attachments: list[Attachment] = []
    for part in message.walk():
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        if kind in ("text/plain", "text/html") and kind not in bodies and not part.get_filename():
            bodies[kind] = str(part.get_content())
            continue
        data = part.get_payload(decode=True)
        data = data if isinstance(data, bytes) else b""
        content_id = str(part.get("Content-ID", "")).strip().strip("<>") or None
        attachments.append(Attachment.of(part.get_filename(), kind, data, content_id))
    return Entry(
        provider=provider,
        channel="email",
        message_id=_local_part(str(message.get("Message-ID", ""))),
        provider_message_id=secrets.token_hex(8),
        sender=headers.get("From") or sender,
        to=tuple(recipients),
        subject=headers.get("Subject"),
        text=_unix(bodies.get("text/plain")),
        html=_unix(bodies.get("text/html")),
        headers=headers,
        attachments=tuple(attachments),
    )


def _check_headers(message: EmailMessage) -> None:
    names = [name.lower() for name, _ in message.items()]
    if "from" not in names:
        raise Malformed("the From header is missing")
    for name in _SINGULAR:
        if names.count(name) > 1:
            raise Malformed(f"more than one {name.title()} header")


def _headers(message: EmailMessage) -> dict[str, str]:
    """The headers, decoded; the values of a repeated name are joined by line breaks.

    By the library's older decoder: the newer one leaves spaces between the encoded words of a name.
    """
    headers: dict[str, str] = {}
    for name, raw in message.raw_items():
        value = str(make_header(decode_header("".join(str(raw).splitlines()))))
        if _BREAKS.search(value):
            raise Malformed("control characters in a header")
        headers[name] = f"{headers[name]}\n{value}" if name in headers else value
    return headers


def _local_part(message_id: str) -> str | None:
    return message_id.strip().removeprefix("<").partition("@")[0] or None


def _unix(text: str | None) -> str | None:
    return None if text is None else text.replace("\r\n", "\n")
