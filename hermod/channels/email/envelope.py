"""Who gets an email, and whether a vendor's API can carry it: what the adapters of mail APIs have in common."""

from __future__ import annotations

from typing import NamedTuple

from hermod.channels.email.mime import mailbox
from hermod.contracts.notifications.content import AnyContent, Email
from hermod.contracts.values.mailboxes import Mailbox
from hermod.ports.notifications.sender import Capability


class Envelope(NamedTuple):
    """The recipients line by line, everybody once: who stands in two lines is left in the first of them."""

    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    bcc: tuple[Mailbox, ...]

    @property
    def everyone(self) -> tuple[Mailbox, ...]:
        return self.to + self.cc + self.bcc


def envelope(email: Email) -> Envelope:
    """Raises ValueError for an address that cannot be written in a header."""
    seen: set[str] = set()
    lines: list[tuple[Mailbox, ...]] = []
    for addresses in ((email.to,), email.cc, email.bcc):
        line = []
        for address in map(mailbox, addresses):
            if address.address.lower() not in seen:
                seen.add(address.address.lower())
                line.append(address)
        lines.append(tuple(line))
    return Envelope(*lines)


def written(address: str) -> str:
    """An address as a vendor's API takes it: the name in its own script, quoted where it has to be."""
    return str(mailbox(address))


def encoded_size(email: Email) -> int:
    """Bytes of the bodies, and of the files in base64: nearly the whole of a request."""
    files = sum(len(file.content_base64) for file in email.attachments)
    return files + len((email.html or "").encode()) + len((email.text or "").encode())


def misfit(content: AnyContent, account_sender: str | None, capability: Capability) -> str | None:
    """Why an API that speaks ASCII addresses only cannot carry this content, by its capability; None where it can."""
    if not isinstance(content, Email):
        return "it sends email only"
    sender = content.from_ or account_sender
    if not sender:
        return "neither the message nor the account names a sender (from)"
    named = (content.to, *content.cc, *content.bcc, *content.reply_addresses, sender)
    try:
        ascii_only = all(mailbox(address).address.isascii() for address in named)
    except ValueError:
        return "an address in it cannot be written in a header"
    if not ascii_only:
        return "it takes no address with other than ASCII characters before the @"
    recipients = len(envelope(content).everyone)
    if recipients > capability.max_recipients:
        return f"it takes {capability.max_recipients} recipients at most, and the message has {recipients}"
    if capability.max_bytes is not None and encoded_size(content) > capability.max_bytes:
        return f"it takes {capability.max_bytes // 1024 // 1024} MiB at most, encoded"
    return None
