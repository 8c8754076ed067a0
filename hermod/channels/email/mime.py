"""Builds the internet message (RFC 5322) of an email: what goes over the wire as DATA.

The structure, from the outside in, with the layers that are not needed left out:

    multipart/mixed            attachments
      multipart/alternative    text, then html, then an invitation (text/calendar; method=…)
        multipart/related      html and the images it shows by `cid:`

The message is the same to the byte for the same email, and 7 bit all through, so that no server on the way has a reason
to encode it anew and break a signature; only an address may have other characters before its @ (SMTPUTF8).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Final

import idna

from hermod.channels.email import headers
from hermod.contracts.notifications.content import Attachment, Email
from hermod.contracts.values.mailboxes import Mailbox, read_mailbox

_CRLF: Final = b"\r\n"
_LINE: Final = 78
_ENCODED_LINE: Final = 76
_CONTAINERS: Final = frozenset({"multipart", "message"})
"""Types that may not be sent as base64 (RFC 2046); such a file travels as plain bytes."""
_NAME: Final = re.compile(r"; ?name=(\"[^\"]*\"|[^;]*)", re.IGNORECASE)
_CHARSET: Final = re.compile(r"; ?charset=", re.IGNORECASE)
_UNUSUAL: Final = re.compile(rb"[^\t\n -~]")
_INVITATION: Final = re.compile(r"text/calendar *;(.*;)? ?method=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Message:
    """A finished message, and the envelope it travels in."""

    data: bytes
    sender: str
    recipients: tuple[str, ...]
    """Everyone who gets it, nobody twice, beginning with `to`."""
    message_id: str
    """Without its angle brackets."""
    utf8: bool
    """An address in it has characters outside ASCII before the @: only servers with SMTPUTF8 take it."""


@dataclass(frozen=True, slots=True)
class _Part:
    headers: tuple[str, ...]
    body: bytes

    def __bytes__(self) -> bytes:
        return "".join(f"{header}\r\n" for header in self.headers).encode() + _CRLF + self.body


def compose(email: Email, *, sender: str, message_id: str, date: datetime) -> Message:
    """The message for `email`, sent from `sender`.

    `Message-ID` is `<{message_id}@{domain of sender}>`: the same for every attempt at this message, so that a
    receiver can recognise a repeat. There is no Bcc header; who gets a copy is in the envelope only.
    Raises ValueError for what no message can hold.
    """
    author, to = mailbox(sender), mailbox(email.to)
    replies = [mailbox(address) for address in email.reply_addresses]
    own_id = f"{message_id}@{author.domain}"
    head = [headers.mailboxes("From", [author]), headers.mailboxes("To", [to])]
    if email.cc:
        head.append(headers.mailboxes("Cc", [mailbox(address) for address in email.cc]))
    if replies:
        head.append(headers.mailboxes("Reply-To", replies))
    head.append(headers.subject(email.subject or ""))
    head.append(headers.text("Date", format_datetime(date)))
    head.append(headers.text("Message-ID", f"<{own_id}>"))
    head += [headers.text(name, value) for name, value in email.headers.items()]
    head.append("MIME-Version: 1.0")
    content = _content(email)
    everyone = recipients(email)
    return Message(
        data=bytes(_Part((*head, *content.headers), content.body)),
        sender=author.address,
        recipients=everyone,
        message_id=own_id,
        utf8=not all(one.isascii() for one in (author.address, *everyone, *(reply.address for reply in replies))),
    )


def mailbox(address: str) -> Mailbox:
    """An address taken apart, its domain in ASCII (`xn--…`), its name as it is written. Raises ValueError."""
    given = read_mailbox(address)
    return given._replace(domain=ascii_domain(given.domain))


def ascii_domain(domain: str) -> str:
    """The domain as DNS and SMTP know it. Raises ValueError where it has no such form."""
    return domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")


def recipients(email: Email) -> tuple[str, ...]:
    """Everyone who gets the message, as bare addresses: `to` first, then cc and bcc, nobody twice."""
    everyone: dict[str, str] = {}
    for given in (email.to, *email.cc, *email.bcc):
        address = mailbox(given).address
        everyone.setdefault(address.lower(), address)
    return tuple(everyone.values())


def _content(email: Email) -> _Part:
    inline: list[_Part] = []
    invitation: list[_Part] = []
    others: list[_Part] = []
    for file in email.attachments:
        if file.content_id and email.html:
            inline.append(_file(file, "inline"))
        elif _INVITATION.match(file.content_type) and not invitation:
            invitation.append(_invitation(file))
        else:
            others.append(_file(file, "attachment"))
    words: list[_Part] = []
    if email.text:
        words.append(_text("text/plain", email.text))
    if email.html:
        page = _text("text/html", email.html)
        words.append(_multipart("related", [page, *inline]) if inline else page)
    words += invitation
    body = words[0] if len(words) == 1 else _multipart("alternative", words)
    return _multipart("mixed", [body, *others]) if others else body


def _text(kind: str, text: str) -> _Part:
    """A body: as it is where that is 7 bit in short lines, else in the shorter of the two encodings."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    data = (lines if lines.endswith("\n") else f"{lines}\n").encode()
    encoding = "7bit"
    if _UNUSUAL.search(data) or max(map(len, data.split(b"\n"))) > _LINE:
        printable = binascii.b2a_qp(data, istext=True)
        plain, encoding, data = data, "quoted-printable", printable
        if len(printable) > len(plain) * 1.4:
            encoding, data = "base64", _in_base64(plain.replace(b"\n", _CRLF))
    kind_header = headers.parameters("Content-Type", kind, {"charset": "utf-8"})
    return _Part((kind_header, f"Content-Transfer-Encoding: {encoding}"), data.replace(b"\n", _CRLF))


def _file(file: Attachment, disposition: str) -> _Part:
    kind = _NAME.sub("", file.content_type)
    if kind.partition("/")[0].lower() in _CONTAINERS:
        kind = "application/octet-stream"
    old_name = headers.ascii_name(file.filename)
    head = [
        headers.parameters("Content-Type", kind, {"name": old_name} if old_name else {}),
        "Content-Transfer-Encoding: base64",
        headers.parameters("Content-Disposition", disposition, {"filename": file.filename}),
    ]
    if file.content_id:
        head.append(headers.text("Content-ID", f"<{file.content_id}>"))
    return _Part(tuple(head), _in_base64(file.content()).replace(b"\n", _CRLF))


def _invitation(file: Attachment) -> _Part:
    """A calendar's request or answer. It is no attachment: a mail program shows it, with its buttons, as the mail."""
    kind = _NAME.sub("", file.content_type)
    more = {} if _CHARSET.search(kind) else {"charset": "utf-8"}
    head = (
        headers.parameters("Content-Type", kind, more | {"name": file.filename}),
        "Content-Transfer-Encoding: base64",
    )
    return _Part(head, _in_base64(file.content()).replace(b"\n", _CRLF))


def _multipart(kind: str, parts: Sequence[_Part]) -> _Part:
    """The boundary is a hash of all that stands between: no part can hold it."""
    pieces = [bytes(part) for part in parts]
    digest = hashlib.blake2b(digest_size=16)
    for piece in pieces:
        digest.update(piece)
    boundary = f"=_{digest.hexdigest()}"
    line = f"--{boundary}".encode()
    body = b"".join(line + _CRLF + piece + _CRLF for piece in pieces) + line + b"--" + _CRLF
    return _Part((headers.parameters("Content-Type", f"multipart/{kind}", {"boundary": boundary}),), body)


def _in_base64(data: bytes) -> bytes:
    """Lines of 76 characters, ended by LF."""
    encoded = base64.b64encode(data)
    return b"".join(encoded[at : at + _ENCODED_LINE] + b"\n" for at in range(0, len(encoded), _ENCODED_LINE))
