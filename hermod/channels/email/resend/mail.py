"""The body of a mail as Resend takes it. The same message gives the same bytes: Resend compares them on a repeat."""

from __future__ import annotations

import mimetypes
from typing import Any, Final, cast

from hermod.channels.email.envelope import envelope, written
from hermod.contracts.notifications.content import Attachment, Email
from hermod.ports.notifications.sender import Outgoing

MESSAGE_ID_TAG: Final = "hermod_message_id"
"""Resend takes ASCII letters, digits, `_` and `-` in a tag's name and value, which our ids keep to."""
_BY_NAME: Final = mimetypes.MimeTypes()
"""The types that Python knows by itself: this machine's own list would make bodies differ between machines."""


def mail(message: Outgoing) -> dict[str, Any]:
    email = cast(Email, message.content)
    lines = envelope(email)
    body: dict[str, Any] = {"from": written(message.sender or "")}
    for name, addresses in (("to", lines.to), ("cc", lines.cc), ("bcc", lines.bcc)):
        if addresses:
            body[name] = [str(address) for address in addresses]
    if email.reply_addresses:
        body["reply_to"] = [written(address) for address in email.reply_addresses]
    body["subject"] = email.subject
    if email.html:
        body["html"] = email.html
    if email.text:
        body["text"] = email.text
    if email.headers:
        body["headers"] = email.headers
    if email.attachments:
        body["attachments"] = [_file(file, shown=bool(email.html)) for file in email.attachments]
    body["tags"] = [{"name": MESSAGE_ID_TAG, "value": message.id}]
    return body


def _file(file: Attachment, *, shown: bool) -> dict[str, str]:
    """A file. Resend has silently dropped mail whose file name contradicts its type: then the name alone is sent."""
    item = {"filename": file.filename, "content": file.content_base64}
    expected, _ = _BY_NAME.guess_type(file.filename)
    if expected is None or expected == file.content_type.partition(";")[0]:
        item["content_type"] = file.content_type
    if file.content_id and shown:
        item["content_id"] = file.content_id
    return item
