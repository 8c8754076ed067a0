"""What SES checks in the body of SendEmail (API v2), field by field.

The names and their limits are those of the service's own description (SendEmailRequest). SES ignores a name that it
does not know; here it is refused, because in an adapter it is a typing mistake.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from devstack.sandbox.entry import Attachment, Entry
from devstack.sandbox.mime import Malformed, parse
from devstack.sandbox.providers.syntax import bare_address, decoded, is_email

MAX_RECIPIENTS: Final = 50
MAX_LINE: Final = 1000
MAX_BYTES: Final = 40 * 1024 * 1024
DESTINATIONS: Final = ("ToAddresses", "CcAddresses", "BccAddresses")
_MAIL: Final = frozenset(
    "FromEmailAddress FromEmailAddressIdentityArn Destination ReplyToAddresses FeedbackForwardingEmailAddress "
    "FeedbackForwardingEmailAddressIdentityArn Content EmailTags ConfigurationSetName EndpointId TenantName "
    "ListManagementOptions ConfigurationOverrides".split()
)
_SIMPLE: Final = frozenset(("Subject", "Body", "Headers", "Attachments"))
_FILE: Final = frozenset(
    "RawContent FileName ContentType ContentDisposition ContentId ContentTransferEncoding ContentDescription".split()
)
_TAG: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_HEADER_NAME: Final = re.compile(r"[!-9;-~]{1,126}")
_HEADER_VALUE: Final = re.compile(r"[ -~]{1,995}")


class BadRequest(Exception):
    """Why SES will not have the mail."""


def read_mail(mail: dict[str, Any], provider_id: str) -> Entry:
    """The mail for the inbox. Raises BadRequest."""
    _names(mail, _MAIL, "SendEmailRequest")
    recipients = _recipients(mail)
    tags = _tags(mail)
    content = _dict(mail.get("Content"), "Content")
    if len(content) != 1 or not content.keys() <= {"Simple", "Raw"}:
        raise BadRequest("Exactly one of Simple, Raw or Template content must be specified.")
    if "Raw" in content:
        entry = _raw(_dict(content["Raw"], "Raw"), recipients)
        entry.provider_message_id = provider_id
    else:
        entry = _simple(mail, _dict(content["Simple"], "Simple"), recipients, provider_id)
    entry.message_id = tags.get("hermod_message_id")
    configuration_set = mail.get("ConfigurationSetName", "set")
    if not isinstance(configuration_set, str) or not _TAG.fullmatch(configuration_set):
        raise BadRequest("Configuration set name is not valid.")
    return entry


def _names(part: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    unknown = part.keys() - known
    if unknown:
        raise BadRequest(f"Unexpected field {min(unknown)!r} in {where}.")


def _dict(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise BadRequest(f"{where} is missing.")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"{where} must be a list.")
    return value


def _recipients(mail: dict[str, Any]) -> tuple[str, ...]:
    destination = _dict(mail.get("Destination"), "Destination")
    _names(destination, frozenset(DESTINATIONS), "Destination")
    addresses = [_address(value) for line in DESTINATIONS for value in _list(destination.get(line, []), line)]
    if not addresses:
        raise BadRequest("At least one recipient must be specified.")
    if len(addresses) > MAX_RECIPIENTS:
        raise BadRequest(f"Recipient count exceeds {MAX_RECIPIENTS}.")
    for address in _list(mail.get("ReplyToAddresses", []), "ReplyToAddresses"):
        _address(address)
    return tuple(addresses)


def _address(value: object) -> str:
    """The bare address. SES wants ASCII: names of other scripts come as encoded words."""
    if not isinstance(value, str) or not value.isascii():
        raise BadRequest("Address contains non-ASCII characters.")
    address = bare_address(value)
    if not is_email(address):
        raise BadRequest("Illegal address")
    return address


def _tags(mail: dict[str, Any]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag in _list(mail.get("EmailTags", []), "EmailTags"):
        tag = _dict(tag, "EmailTags")
        _names(tag, frozenset(("Name", "Value")), "EmailTags")
        if not all(isinstance(tag.get(part), str) and _TAG.fullmatch(tag[part]) for part in ("Name", "Value")):
            raise BadRequest("Message tag must contain only letters, numbers, underscores and dashes.")
        tags[tag["Name"]] = tag["Value"]
    return tags


def _words(value: object, where: str) -> str:
    """The text of a `{Data, Charset}`. Without a charset, SES takes the data for 7-bit ASCII."""
    part = _dict(value, where)
    _names(part, frozenset(("Data", "Charset")), where)
    text = part.get("Data")
    if not isinstance(text, str):
        raise BadRequest(f"{where}.Data is missing.")
    if not text.isascii() and str(part.get("Charset", "")).upper() != "UTF-8":
        raise BadRequest(f"{where}.Data contains characters outside of its charset.")
    return text


def _simple(mail: dict[str, Any], simple: dict[str, Any], recipients: tuple[str, ...], provider_id: str) -> Entry:
    _names(simple, _SIMPLE, "Simple")
    sender = mail.get("FromEmailAddress")
    _address(sender)
    body = _dict(simple.get("Body"), "Body")
    _names(body, frozenset(("Text", "Html")), "Body")
    return Entry(
        provider="ses",
        channel="email",
        message_id=None,
        provider_message_id=provider_id,
        sender=str(sender),
        to=recipients,
        subject=_words(simple.get("Subject"), "Subject"),
        text=_words(body["Text"], "Body.Text") if "Text" in body else None,
        html=_words(body["Html"], "Body.Html") if "Html" in body else None,
        headers={**_shown(mail), **_headers(simple)},
        attachments=tuple(_files(simple)),
    )


def _shown(mail: dict[str, Any]) -> dict[str, str]:
    """The lines that the recipient would see."""
    destination = mail["Destination"]
    lines = {
        "From": [mail["FromEmailAddress"]],
        "To": destination.get("ToAddresses"),
        "Cc": destination.get("CcAddresses"),
        "Reply-To": mail.get("ReplyToAddresses"),
    }
    return {name: ", ".join(addresses) for name, addresses in lines.items() if addresses}


def _headers(simple: dict[str, Any]) -> dict[str, str]:
    headers: dict[str, str] = {}
    items = _list(simple.get("Headers", []), "Headers")
    if len(items) > 15:
        raise BadRequest("Number of headers exceeds 15.")
    for item in items:
        header = _dict(item, "Headers")
        name, value = header.get("Name"), header.get("Value")
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise BadRequest("Header name is not valid.")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise BadRequest("Header value is not valid.")
        headers[name] = value
    return headers


def _files(simple: dict[str, Any]) -> Iterator[Attachment]:
    for item in _list(simple.get("Attachments", []), "Attachments"):
        file = _dict(item, "Attachments")
        _names(file, _FILE, "Attachments")
        content, name = decoded(file.get("RawContent")), file.get("FileName")
        if content is None or not isinstance(name, str) or not 1 <= len(name) <= 255:
            raise BadRequest("An attachment needs a FileName and its RawContent in base64.")
        if file.get("ContentDisposition", "ATTACHMENT") not in ("ATTACHMENT", "INLINE"):
            raise BadRequest("ContentDisposition must be ATTACHMENT or INLINE.")
        cid = file.get("ContentId")
        if cid is not None and not (isinstance(cid, str) and 1 <= len(cid) <= 78):
            raise BadRequest("ContentId must have 1 to 78 characters.")
        yield Attachment.of(name, file.get("ContentType", "application/octet-stream"), content, cid)


def _raw(raw: dict[str, Any], recipients: tuple[str, ...]) -> Entry:
    _names(raw, frozenset(("Data",)), "Raw")
    try:
        content = base64.b64decode(raw.get("Data", ""), validate=True)
    except (ValueError, TypeError):
        raise BadRequest("Raw.Data must be base64.") from None
    if any(len(line) > MAX_LINE for line in content.split(b"\r\n")):
        raise BadRequest(f"A line of the message is longer than {MAX_LINE} characters.")
    if not content.isascii():
        raise BadRequest("The message contains 8-bit characters; encode its parts.")
    try:
        entry = parse(content, provider="ses", sender="", recipients=recipients)
    except Malformed as reason:
        raise BadRequest(f"The message cannot be read: {reason}") from None
    if "Bcc" in entry.headers:
        raise BadRequest("Bcc belongs into Destination.")
    return entry
