"""What Mailgun checks in a message, field by field. A field that the API does not have is a mistake, and refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.utils import getaddresses
from typing import Final

from devstack.sandbox.entry import Attachment, Entry
from devstack.sandbox.providers.mailgun_form import Part
from devstack.sandbox.providers.syntax import bare_address, is_email

MAX_RECIPIENTS: Final = 1000
MAX_MESSAGE: Final = 25 * 1024 * 1024
MAX_EXTRAS: Final = 16 * 1024
_ONCE: Final = frozenset(
    "from subject text html amp-html template t:version t:text t:variables recipient-variables".split()
)
_LISTS: Final = frozenset("to cc bcc attachment inline o:tag".split())
_OPTION: Final = re.compile(
    r"^o:(testmode|tracking|tracking-clicks|tracking-opens|require-tls|skip-verification|deliverytime|deliver-within"
    r"|suppress-headers|sending-ip|sending-ip-pool|dkim)$"
)
_EXTRA: Final = re.compile(r"^(?:h:[!-9;-~]+|v:[\w.-]+)$", re.ASCII)
_MADE_HERE: Final = frozenset("from to cc bcc subject content-type content-transfer-encoding mime-version".split())


def check_message(parts: Sequence[Part]) -> str | None:
    """The first fault of the message, or None where Mailgun would take it."""
    for part in parts:
        fault = _name_fault(part)
        if fault is not None:
            return fault
    names = [part.name for part in parts]
    repeated = next((name for name in names if names.count(name) > 1 and name not in _LISTS), None)
    if repeated is not None:
        return f"parameter '{repeated}' is given more than once"
    return _people_fault(parts) or _content_fault(parts)


def entry_of(parts: Sequence[Part], message_id: str) -> Entry:
    """The message for the inbox."""
    texts = {part.name: part.text for part in parts if part.filename is None}
    shown = {name.title(): ", ".join(_all(parts, name)) for name in ("from", "to", "cc")}
    headers = {name.removeprefix("h:"): value for name, value in texts.items() if name.startswith("h:")}
    return Entry(
        provider="mailgun",
        channel="email",
        message_id=texts.get("v:hermod_message_id"),
        provider_message_id=message_id,
        sender=texts["from"],
        to=recipients_of(parts),
        subject=texts.get("subject"),
        text=texts.get("text"),
        html=texts.get("html"),
        headers={name: value for name, value in shown.items() if value} | headers,
        attachments=tuple(
            # An inline file's name is its content id.
            Attachment.of(
                part.filename,
                part.content_type or "application/octet-stream",
                part.content,
                part.filename if part.name == "inline" else None,
            )
            for part in parts
            if part.filename is not None
        ),
    )


def recipients_of(parts: Sequence[Part]) -> tuple[str, ...]:
    """Bare addresses of all three lines; a field may hold several, joined by commas."""
    values = [value for line in ("to", "cc", "bcc") for value in _all(parts, line)]
    return tuple(address for _, address in getaddresses(values))


def _all(parts: Sequence[Part], name: str) -> list[str]:
    return [part.text for part in parts if part.name == name]


def _name_fault(part: Part) -> str | None:
    name, is_file = part.name, part.filename is not None
    if is_file != (name in ("attachment", "inline")):
        return f"parameter '{name}' is not a file" if is_file else f"parameter '{name}' must be a file"
    if is_file:
        return None if part.filename else f"parameter '{name}' has no file name"
    try:
        part.text  # noqa: B018
    except UnicodeDecodeError:
        return f"parameter '{name}' is not UTF-8"
    if name.startswith("h:") and name[2:].lower() in _MADE_HERE:
        return f"parameter '{name}' is not allowed"
    if not (name in _ONCE or name in _LISTS or _OPTION.match(name) or _EXTRA.match(name)):
        return f"parameter '{name}' is unknown"
    if name[:2] in ("h:", "v:", "o:") and re.search(r"[\r\n]", part.text):
        return f"parameter '{name}' has a line break"
    return None


def _people_fault(parts: Sequence[Part]) -> str | None:
    senders, recipients = _all(parts, "from"), recipients_of(parts)
    if not senders:
        return "from parameter is missing"
    if not is_email(bare_address(senders[0])):
        return "from parameter is not a valid address. please check documentation"
    if not _all(parts, "to"):
        return "to parameter is missing"
    if not all(is_email(address) for address in recipients):
        return "to parameter is not a valid address. please check documentation"
    if len(recipients) > MAX_RECIPIENTS:
        return f"too many recipients: {MAX_RECIPIENTS} at most"
    return None


def _content_fault(parts: Sequence[Part]) -> str | None:
    sizes = {part.name: len(part.content) for part in parts}
    if not any(sizes.get(name) for name in ("text", "html", "template", "amp-html")):
        return "Need at least one of 'text', 'html', 'amp-html' or 'template' parameters specified"
    if sum(len(part.name) + len(part.content) for part in parts if part.name[1:2] == ":") > MAX_EXTRAS:
        return "o:, h:, v:, and t: parameters are limited to 16KB total"
    if sum(len(part.content) for part in parts) > MAX_MESSAGE:
        return "message is larger than 25MB"
    if any(not tag.isascii() or len(tag) > 128 for tag in _all(parts, "o:tag")):
        return "a tag has 128 ASCII characters at most"
    return None
