"""The body of a mail as Elastic Email takes it. The same message gives the same bytes: a repeat is compared.

Nothing is sent to merge: a `{word}` in braces that has no field stays what it is. There is no content id for files:
an image is shown under its name, so the HTML's `cid:` follows the name that the file gets here.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, cast

from hermod.channels.email.envelope import envelope, written
from hermod.contracts.notifications.content import Attachment, Email
from hermod.ports.notifications.sender import Outgoing


def mail(message: Outgoing) -> dict[str, Any]:
    email = cast(Email, message.content)
    lines = envelope(email)
    named = (("To", lines.to), ("CC", lines.cc), ("BCC", lines.bcc))
    content: dict[str, Any] = {"From": written(message.sender or "")}
    if email.reply_addresses:
        content["ReplyTo"] = written(email.reply_addresses[0])
    content["Subject"] = email.subject
    content["Body"] = [
        {"ContentType": kind, "Content": words, "Charset": "utf-8"}
        for kind, words in (("HTML", _shown(email)), ("PlainText", email.text))
        if words
    ]
    if email.headers:
        content["Headers"] = email.headers
    content["Postback"] = message.id
    if email.attachments:
        content["Attachments"] = [_file(file, shown=bool(email.html)) for file in email.attachments]
    return {
        "Recipients": {name: [str(address) for address in addresses] for name, addresses in named if addresses},
        "Content": content,
    }


def _shown(email: Email) -> str | None:
    """The HTML, its `cid:` addresses changed to the names of the files. Names that contain others do not disturb."""
    names = {file.content_id: _name(file) for file in email.attachments if file.content_id}
    if not email.html or not names:
        return email.html
    return re.sub(r"(?<=cid:)[\w.@+-]+", lambda found: names.get(found[0], found[0]), email.html)


def _file(file: Attachment, *, shown: bool) -> dict[str, str]:
    name = _name(file) if file.content_id and shown else file.filename
    return {"BinaryContent": file.content_base64, "Name": name, "ContentType": file.content_type}


def _name(file: Attachment) -> str:
    """The content id with the file's ending: unique among the images, and nothing that a URL would have to escape."""
    ending = PurePosixPath(file.filename).suffix
    safe = ending if re.fullmatch(r"\.[0-9A-Za-z]+", ending) else ""
    cid = file.content_id or ""
    return cid if cid.endswith(safe) else cid + safe
