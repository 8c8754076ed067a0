"""The body of a mail as Postmark takes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from hermod.channels.email.envelope import envelope, written
from hermod.contracts.notifications.content import Attachment, Email
from hermod.contracts.values.mailboxes import Mailbox

MESSAGE_ID_METADATA: Final = "hermod_message_id"
"""A key of metadata has 20 characters at most, a value 80."""


def mail(email: Email, *, sender: str, message_id: str, stream: str) -> dict[str, Any]:
    lines = envelope(email)
    body: dict[str, Any] = {"From": written(sender), "To": _joined(lines.to)}
    if lines.cc:
        body["Cc"] = _joined(lines.cc)
    if lines.bcc:
        body["Bcc"] = _joined(lines.bcc)
    if email.reply_addresses:
        body["ReplyTo"] = ", ".join(map(written, email.reply_addresses))
    body["Subject"] = email.subject or ""
    if email.html:
        body["HtmlBody"] = email.html
    if email.text:
        body["TextBody"] = email.text
    if email.headers:
        body["Headers"] = [{"Name": name, "Value": value} for name, value in email.headers.items()]
    if email.attachments:
        body["Attachments"] = [_file(file, shown=bool(email.html)) for file in email.attachments]
    body["MessageStream"] = stream
    body["Metadata"] = {MESSAGE_ID_METADATA: message_id}
    return body


def _joined(addresses: Iterable[Mailbox]) -> str:
    """A list of people is one string here."""
    return ", ".join(map(str, addresses))


def _file(file: Attachment, *, shown: bool) -> dict[str, str]:
    item = {"Name": file.filename, "Content": file.content_base64, "ContentType": file.content_type}
    return item | {"ContentID": f"cid:{file.content_id}"} if file.content_id and shown else item
