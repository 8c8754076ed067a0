"""What Postmark checks in a mail of its Email API, with its ErrorCodes.

Where Postmark's documentation is silent the sandbox is the stricter one: a name that the API does not have is refused,
because in an adapter it is a typing mistake.
"""

from __future__ import annotations

import re
from email.utils import getaddresses
from typing import Any, Final, NamedTuple

from devstack.sandbox.entry import Attachment, Entry
from devstack.sandbox.providers.syntax import bare_address, decoded, is_email

MAX_RECIPIENTS: Final = 50
MAX_BODY: Final = 5 * 1024 * 1024
MAX_BYTES: Final = 10 * 1024 * 1024
STREAMS: Final = frozenset(("outbound", "broadcast"))
"""The message streams that every server has from the start."""
_MAIL: Final = frozenset(
    "From To Cc Bcc Subject Tag HtmlBody TextBody ReplyTo Headers TrackOpens TrackLinks Metadata Attachments "
    "MessageStream".split()
)
_TEXTS: Final = ("From", "To", "Cc", "Bcc", "Subject", "Tag", "HtmlBody", "TextBody", "ReplyTo", "MessageStream")
_TRACK_LINKS: Final = ("None", "HtmlAndText", "HtmlOnly", "TextOnly")
_HEADER_NAME: Final = re.compile(r"^[!-9;-~]+$")
_FORBIDDEN: Final = frozenset("vbs exe bin bat chm com cpl crt hlp hta inf ins isp jse lnk mdb pcd pif reg scr".split())


class PostmarkError(NamedTuple):
    code: int
    message: str
    status: int = 422

    def body(self) -> dict[str, Any]:
        return {"ErrorCode": self.code, "Message": self.message}


def check_mail(mail: object) -> PostmarkError | None:
    """The first fault of the mail, or None where Postmark would take it."""
    if not isinstance(mail, dict):
        return PostmarkError(402, "Received invalid JSON input.")
    unknown = mail.keys() - _MAIL
    if unknown:
        return PostmarkError(403, f"Unknown field '{min(unknown)}'.")
    for name in _TEXTS:
        if not isinstance(mail.get(name, ""), str):
            return PostmarkError(403, f"Incompatible JSON: '{name}' must be a string.")
    return (
        _people(mail)
        or _bodies(mail)
        or _options(mail)
        or _headers(mail.get("Headers", []))
        or _metadata(mail.get("Metadata", {}))
        or _files(mail.get("Attachments", []))
    )


def entry_of(mail: dict[str, Any], provider_id: str) -> Entry:
    """The mail for the inbox."""
    shown = {
        name: mail[key]
        for name, key in (("From", "From"), ("To", "To"), ("Cc", "Cc"), ("Reply-To", "ReplyTo"))
        if mail.get(key)
    }
    return Entry(
        provider="postmark",
        channel="email",
        message_id=mail.get("Metadata", {}).get("hermod_message_id"),
        provider_message_id=provider_id,
        sender=mail["From"],
        to=recipients_of(mail),
        subject=mail.get("Subject"),
        text=mail.get("TextBody"),
        html=mail.get("HtmlBody"),
        headers={**shown, **{header["Name"]: header["Value"] for header in mail.get("Headers", [])}},
        attachments=tuple(
            Attachment.of(
                item["Name"],
                item["ContentType"],
                decoded(item["Content"]) or b"",
                item.get("ContentID", "").removeprefix("cid:") or None,
            )
            for item in mail.get("Attachments", [])
        ),
    )


def recipients_of(mail: dict[str, Any]) -> tuple[str, ...]:
    """Bare addresses of all three lines; an empty one for what is no address."""
    lines = [mail[line] for line in ("To", "Cc", "Bcc") if mail.get(line)]
    return tuple(address for _, address in getaddresses(lines))


def _people(mail: dict[str, Any]) -> PostmarkError | None:
    if not is_email(bare_address(mail.get("From", ""))):
        return PostmarkError(300, "Invalid 'From' address.")
    if mail.get("ReplyTo") and not is_email(bare_address(mail["ReplyTo"])):
        return PostmarkError(300, "Invalid 'ReplyTo' address.")
    recipients = recipients_of(mail)
    if not mail.get("To"):
        return PostmarkError(300, "Zero recipients specified")
    if len(recipients) > MAX_RECIPIENTS:
        return PostmarkError(300, f"Too many recipients: {MAX_RECIPIENTS} at most.")
    for address in recipients:
        if not is_email(address):
            return PostmarkError(300, f"Invalid 'To' address: '{address}'.")
    return None


def _bodies(mail: dict[str, Any]) -> PostmarkError | None:
    if not mail.get("HtmlBody") and not mail.get("TextBody"):
        return PostmarkError(300, "Provide either email TextBody or HtmlBody or both.")
    if any(len(mail.get(name, "").encode()) > MAX_BODY for name in ("HtmlBody", "TextBody")):
        return PostmarkError(300, "HtmlBody and TextBody are limited to 5 MB each.")
    if len(mail.get("Subject", "")) > 2000:
        return PostmarkError(300, "The 'Subject' is longer than 2000 characters.")
    return None


def _options(mail: dict[str, Any]) -> PostmarkError | None:
    if mail.get("MessageStream", "outbound") not in STREAMS:
        return PostmarkError(1226, "The message stream for the provided 'ID' was not found.")
    if mail.get("TrackLinks", "None") not in _TRACK_LINKS or type(mail.get("TrackOpens", False)) is not bool:
        return PostmarkError(403, "Incompatible JSON: a tracking option has another type.")
    if len(mail.get("Tag", "")) > 1000:
        return PostmarkError(300, "The 'Tag' is longer than 1000 characters.")
    return None


def _headers(headers: object) -> PostmarkError | None:
    if not isinstance(headers, list):
        return PostmarkError(403, "Incompatible JSON: 'Headers' must be an array.")
    for header in headers:
        if not isinstance(header, dict) or header.keys() != {"Name", "Value"}:
            return PostmarkError(403, "Incompatible JSON: a header has a Name and a Value.")
        if not isinstance(header["Name"], str) or not _HEADER_NAME.match(header["Name"]):
            return PostmarkError(300, "Invalid header name.")
        if not isinstance(header["Value"], str) or re.search(r"[\r\n]", header["Value"]):
            return PostmarkError(300, "Invalid header value.")
    return None


def _metadata(metadata: object) -> PostmarkError | None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        return PostmarkError(403, "Incompatible JSON: 'Metadata' must be an object of strings.")
    if len(metadata) > 10 or any(len(key) > 20 or len(value) > 80 for key, value in metadata.items()):
        return PostmarkError(300, "Metadata has 10 fields at most, of 20 and 80 characters.")
    return None


def _files(files: object) -> PostmarkError | None:
    if not isinstance(files, list):
        return PostmarkError(403, "Incompatible JSON: 'Attachments' must be an array.")
    size = 0
    for file in files:
        if not isinstance(file, dict) or not file.keys() <= {"Name", "Content", "ContentType", "ContentID"}:
            return PostmarkError(403, "Incompatible JSON: an attachment has a Name, Content and ContentType.")
        name, content, cid = file.get("Name"), decoded(file.get("Content")), file.get("ContentID", "cid:1")
        if not isinstance(name, str) or not name or content is None or not isinstance(file.get("ContentType"), str):
            return PostmarkError(300, "An attachment needs a Name, a ContentType, and its Content in base64.")
        if not isinstance(cid, str) or not cid.startswith("cid:"):
            return PostmarkError(300, "The ContentID of an attachment begins with 'cid:'.")
        if name.rpartition(".")[2].lower() in _FORBIDDEN:
            return PostmarkError(411, "Forbidden attachment type.")
        size += len(file["Content"])
    return PostmarkError(300, "The message is larger than 10 MB.") if size > MAX_BYTES else None
