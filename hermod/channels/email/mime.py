"""Builds the internet message (RFC 5322) of an email: what goes over the wire as DATA.

The structure, from the outside in, with the layers that are not needed left out:

    multipart/mixed            attachments
      multipart/alternative    text, then html
        multipart/related      html and the images it shows by `cid:`
"""

from __future__ import annotations

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any, Final

import idna

from hermod.contracts.addresses import split_address
from hermod.contracts.content import Attachment, Email

_LINE: Final = 76
_LONGEST_LINE: Final = 998
_CONTAINERS: Final = frozenset({"multipart", "message"})
"""Types that may not be sent as base64 (RFC 2046); such a file travels as plain bytes."""


class _WirePolicy(EmailPolicy):
    """The standard library's SMTP policy, except that ASCII headers are folded at spaces and nowhere else.

    The library turns a word that is longer than a line into an encoded-word: `List-Unsubscribe: <https://…>` with a
    token of 70 characters would become `=?utf-8?q?=3Chttps…`, which no mailbox provider reads as a URL.
    """

    def fold(self, name: str, value: Any) -> str:
        plain = str(value)
        if _is_plain(name, value, plain):
            return _fold_at_spaces(name, plain) + self.linesep
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:
        plain = str(value)
        if _is_plain(name, value, plain):
            return (_fold_at_spaces(name, plain) + self.linesep).encode("ascii")
        return super().fold_binary(name, value)


ASCII: Final = _WirePolicy(linesep="\r\n", cte_type="7bit")
"""For every server: bodies are 7 bit, so no server on the way has a reason to re-encode and break a signature."""

UTF8: Final = _WirePolicy(linesep="\r\n", cte_type="7bit", utf8=True)
"""For servers with SMTPUTF8, where an address has a local part outside ASCII."""


def compose(email: Email, *, sender: str, message_id: str, date: datetime) -> EmailMessage:
    """The message for `email`, sent from `sender`.

    `Message-ID` is `<{message_id}@{domain of sender}>`: the same for every attempt at this message, so that a
    receiver can recognise a repeat. There is no Bcc header; who gets a copy is in the envelope only.
    Raises ValueError for an address that cannot be written in a header.
    """
    author = mailbox(sender)
    message = EmailMessage(policy=ASCII)
    message["From"] = author
    message["To"] = mailbox(email.to)
    if email.cc:
        message["Cc"] = tuple(mailbox(address) for address in email.cc)
    if email.reply_to:
        message["Reply-To"] = mailbox(email.reply_to)
    message["Subject"] = email.subject or ""
    message["Date"] = date
    message["Message-ID"] = f"<{message_id}@{author.domain}>"
    for name, value in email.headers.items():
        message[name] = value
    _add_body(message, email)
    return message


def mailbox(address: str) -> Address:
    """An address as the library's object, its domain in ASCII (`xn--…`), its name as it is written."""
    name, bare = split_address(address)
    local, _, domain = bare.rpartition("@")
    if not local or not domain:
        raise ValueError("not an email address")
    return Address(display_name=name, username=local, domain=ascii_domain(domain))


def ascii_domain(domain: str) -> str:
    """The domain as DNS and SMTP know it. Raises ValueError where it has no such form."""
    return domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")


def recipients(email: Email) -> tuple[str, ...]:
    """Everyone who gets the message, as bare addresses: `to` first, then cc and bcc, nobody twice."""
    everyone: dict[str, str] = {}
    for address in (email.to, *email.cc, *email.bcc):
        bare = mailbox(address).addr_spec
        everyone.setdefault(bare.lower(), bare)
    return tuple(everyone.values())


def _add_body(message: EmailMessage, email: Email) -> None:
    inline = [file for file in email.attachments if file.content_id and email.html]
    others = [file for file in email.attachments if not (file.content_id and email.html)]
    if email.text:
        message.set_content(email.text)
    if email.html:
        if email.text:
            message.add_alternative(email.html, subtype="html")
        else:
            message.set_content(email.html, subtype="html")
        page = message.get_body(("html",))
        if isinstance(page, EmailMessage):
            for file in inline:
                _attach(page, file, related=True)
    for file in others:
        _attach(message, file, related=False)


def _attach(part: EmailMessage, file: Attachment, *, related: bool) -> None:
    main, _, sub = file.content_type.partition("/")
    if main.lower() in _CONTAINERS:
        main, sub = "application", "octet-stream"
    cid = f"<{file.content_id}>" if file.content_id else None
    add, disposition = (part.add_related, "inline") if related else (part.add_attachment, "attachment")
    add(file.content(), maintype=main, subtype=sub, filename=file.filename, disposition=disposition, cid=cid)


def _is_plain(name: str, value: Any, plain: str) -> bool:
    """Whether a header is free text in ASCII. Addresses, dates and content headers know how to fold themselves."""
    structured = any(hasattr(value, mark) for mark in ("addresses", "datetime", "params", "cte"))
    longest = len(name) + 2 + max(map(len, plain.split(" ")))
    return plain.isascii() and not structured and longest <= _LONGEST_LINE and "\n" not in plain and "\r" not in plain


def _fold_at_spaces(name: str, value: str) -> str:
    """`name: value` in lines of 76 characters, broken at spaces; a word longer than that keeps its line to itself."""
    first, *words = value.split(" ")
    lines = [f"{name}: {first}"]
    for word in words:
        # An empty word is one of several spaces in a row: they stay together, as a line must not be all spaces.
        if not word or len(lines[-1]) + 1 + len(word) <= _LINE or not lines[-1].strip():
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    return "\r\n".join(lines)
