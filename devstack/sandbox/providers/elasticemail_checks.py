"""What Elastic Email checks in the body of a transactional email: the first fault is the answer, as a sentence.

The real API takes names in any case and passes over unknown ones. The sandbox does neither: in an adapter, both are
typing mistakes.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from devstack.sandbox.providers.syntax import bare_address, decoded, is_email

MAX_RECIPIENTS: Final = 50
MAX_BYTES: Final = 20 * 1024 * 1024
MAX_OFFSET_MINUTES: Final = 50_400
_CONTENT: Final = frozenset(
    "From ReplyTo Subject EnvelopeFrom Body Headers Postback Attachments TemplateName Merge Utm".split()
)
_OPTIONS: Final = frozenset("TimeOffset PoolName ChannelName Encoding TrackOpens TrackClicks".split())
_BODY_TYPES: Final = frozenset(("HTML", "PlainText", "AMP", "CSS"))
_HEADER_NAME: Final = re.compile(r"^[!-9;-~]+$")


class Problem(NamedTuple):
    status: int
    message: str


def check_email(email: object, size: int) -> Problem | None:
    """What is wrong with a request of `size` bytes, or None where Elastic Email would take it."""
    if not isinstance(email, dict) or not email.keys() <= {"Recipients", "Content", "Options"}:
        return Problem(400, "The request has fields that are not known.")
    if size > MAX_BYTES:
        return Problem(400, "The message is larger than 20 MB.")
    content, options = email.get("Content"), email.get("Options", {})
    if not isinstance(content, dict) or not content.keys() <= _CONTENT:
        return Problem(400, "Content is missing, or has fields that are not known.")
    if not isinstance(options, dict) or not options.keys() <= _OPTIONS:
        return Problem(400, "Options has fields that are not known.")
    offset = options.get("TimeOffset", 0)
    if type(offset) is not int or not 0 <= offset <= MAX_OFFSET_MINUTES:
        return Problem(400, "TimeOffset must be from 0 to 50400 minutes.")
    return _recipients(email.get("Recipients")) or _content(content) or _attachments(content)


def _recipients(recipients: object) -> Problem | None:
    if not isinstance(recipients, dict) or not recipients.keys() <= {"To", "CC", "BCC"}:
        return Problem(400, "Recipients must be an object of To, CC and BCC.")
    everyone = []
    for line in ("To", "CC", "BCC"):
        people = recipients.get(line, [])
        if not isinstance(people, list):
            return Problem(400, f"{line} must be an array.")
        everyone += people
    if not recipients.get("To"):
        return Problem(400, "At least one recipient is required.")
    if len(everyone) > MAX_RECIPIENTS:
        return Problem(413, f"You cannot provide more than {MAX_RECIPIENTS} transactional recipients")
    if not all(isinstance(person, str) and is_email(bare_address(person)) for person in everyone):
        return Problem(400, "One of the recipients is not a valid email address.")
    return None


def _content(content: dict[str, Any]) -> Problem | None:
    sender = content.get("From")
    if not isinstance(sender, str) or not is_email(bare_address(sender)):
        return Problem(400, "From is not a valid email address.")
    reply_to = content.get("ReplyTo")
    if reply_to is not None and (not isinstance(reply_to, str) or not is_email(bare_address(reply_to))):
        return Problem(400, "ReplyTo is not a valid email address.")
    for name in ("Subject", "Postback", "TemplateName", "EnvelopeFrom"):
        if name in content and not isinstance(content[name], str):
            return Problem(400, f"{name} must be a string.")
    headers = content.get("Headers", {})
    if not isinstance(headers, dict):
        return Problem(400, "Headers must be an object.")
    for name, value in headers.items():
        if not _HEADER_NAME.match(name) or not isinstance(value, str) or re.search(r"[\r\n]", value):
            return Problem(400, "Headers must hold names and strings of one line.")
    return _body(content)


def _body(content: dict[str, Any]) -> Problem | None:
    parts = content.get("Body", [])
    if not isinstance(parts, list) or (not parts and "TemplateName" not in content):
        return Problem(400, "Body or TemplateName is required.")
    for part in parts:
        if not isinstance(part, dict) or not part.keys() <= {"ContentType", "Content", "Charset"}:
            return Problem(400, "Body has fields that are not known.")
        if part.get("ContentType") not in _BODY_TYPES or not isinstance(part.get("Content"), str):
            return Problem(400, "A body needs ContentType and Content.")
    return None


def _attachments(content: dict[str, Any]) -> Problem | None:
    items = content.get("Attachments", [])
    if not isinstance(items, list):
        return Problem(400, "Attachments must be an array.")
    for item in items:
        if not isinstance(item, dict) or not item.keys() <= {"BinaryContent", "Name", "ContentType"}:
            return Problem(400, "Attachments has fields that are not known.")
        if decoded(item.get("BinaryContent")) is None:
            return Problem(400, "BinaryContent must be base64.")
        if not isinstance(item.get("Name"), str) or not item["Name"]:
            return Problem(400, "An attachment needs a Name.")
        if not isinstance(item.get("ContentType", ""), str):
            return Problem(400, "ContentType must be a string.")
    return None
