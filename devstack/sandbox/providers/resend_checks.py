"""What Resend checks in the body of an email: the first fault is the answer.

Where Resend is lenient or silent the sandbox is the stricter one: an unknown field is a typing mistake, and a file
whose name contradicts its type, which Resend has been seen to drop together with its mail, is refused.
"""

from __future__ import annotations

import mimetypes
import re
from typing import Any, Final, NamedTuple

from devstack.sandbox.providers.syntax import bare_address, decoded, is_email

MAX_TO: Final = 50
MAX_BATCH: Final = 100
MAX_ATTACHMENT_BYTES: Final = 40 * 1024 * 1024
_FIELDS: Final = frozenset(
    "from to cc bcc reply_to subject html text headers attachments tags scheduled_at topic_id template".split()
)
_ATTACHMENT: Final = frozenset(("filename", "content", "path", "content_type", "content_id"))
_TYPES: Final = mimetypes.MimeTypes()
_TAG: Final = re.compile(r"^[A-Za-z0-9_-]{1,256}$")
_HEADER_NAME: Final = re.compile(r"^[!-9;-~]+$")


class Problem(NamedTuple):
    """As in Resend's errors."""

    status: int
    name: str
    message: str


def check_email(email: object) -> Problem | None:
    """What is wrong with one email, or None where Resend would take it."""
    if not isinstance(email, dict):
        return _invalid("The email must be an object.")
    unknown = sorted(email.keys() - _FIELDS)
    if unknown:
        return _invalid(f"Unknown field `{unknown[0]}`.")
    for check in (_people, _words, _headers, _attachments, _tags):
        problem = check(email)
        if problem is not None:
            return problem
    return None


def check_batch(emails: object) -> Problem | None:
    """What is wrong with a batch: all of it is refused for one fault (`strict`)."""
    if not isinstance(emails, list) or not emails:
        return _invalid("The batch must be an array of at least one email.")
    if len(emails) > MAX_BATCH:
        return _invalid(f"The batch must not hold more than {MAX_BATCH} emails.")
    for position, email in enumerate(emails):
        for field in ("attachments", "scheduled_at"):
            if isinstance(email, dict) and field in email:
                return _invalid(f"The `{field}` field is not supported in batches yet (email {position}).")
        problem = check_email(email)
        if problem is not None:
            return problem._replace(message=f"{problem.message} (email {position})")
    return None


def listed(value: object) -> list[Any]:
    """A field that takes one string or an array of them."""
    return [value] if isinstance(value, str) else value if isinstance(value, list) else []


def expected_type(filename: str) -> str | None:
    """The type that a file's name stands for."""
    return _TYPES.guess_type(filename)[0]


def _invalid(message: str) -> Problem:
    return Problem(422, "validation_error", message)


def _missing(field: str) -> Problem:
    return Problem(422, "missing_required_field", f"Missing `{field}` field.")


def _people(email: dict[str, Any]) -> Problem | None:
    if not email.get("from"):
        return _missing("from")
    if not isinstance(email["from"], str) or not is_email(bare_address(email["from"])):
        return Problem(422, "invalid_from_address", "Invalid `from` field.")
    if not email.get("to"):
        return _missing("to")
    for field in ("to", "cc", "bcc", "reply_to"):
        people = listed(email.get(field, []))
        if field in email and not people:
            return _invalid(f"The `{field}` field must be a `string` or an array of them.")
        if len(people) > MAX_TO:
            return _invalid(f"The `{field}` field must not hold more than {MAX_TO} addresses.")
        if not all(isinstance(person, str) and is_email(bare_address(person)) for person in people):
            return _invalid(
                f"Invalid `{field}` field. The email address needs to follow the `email@example.com` or "
                "`Name <email@example.com>` format."
            )
    return None


def _words(email: dict[str, Any]) -> Problem | None:
    if "template" in email:
        if "html" in email or "text" in email:
            return _invalid("A `template` goes without `html` and `text`.")
        return None
    if not isinstance(email.get("subject"), str) or not email["subject"]:
        return _missing("subject")
    for field in ("html", "text"):
        if field in email and (not isinstance(email[field], str) or not email[field]):
            return _invalid(f"The `{field}` field must be a `string`.")
    return None if "html" in email or "text" in email else Problem(422, "validation_error", "Missing `html` or `text`.")


def _headers(email: dict[str, Any]) -> Problem | None:
    headers = email.get("headers", {})
    if not isinstance(headers, dict):
        return _invalid("The `headers` field must be an object.")
    for name, value in headers.items():
        if not _HEADER_NAME.match(name) or not isinstance(value, str) or re.search(r"[\r\n]", value):
            return _invalid("The `headers` field must hold names and strings of one line.")
    return None


def _attachments(email: dict[str, Any]) -> Problem | None:
    items = email.get("attachments", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return Problem(422, "invalid_attachment", "The `attachments` field must be an array of objects.")
    size = 0
    for item in items:
        if not item.keys() <= _ATTACHMENT or not all(isinstance(value, str) and value for value in item.values()):
            return Problem(422, "invalid_attachment", "An attachment has fields that are unknown, or no strings.")
        if ("content" in item) == ("path" in item) or "filename" not in item:
            return Problem(422, "invalid_attachment", "An attachment needs `filename`, and `content` or `path`.")
        if "content" in item and decoded(item["content"]) is None:
            return Problem(422, "invalid_attachment", "The `content` of an attachment must be base64.")
        expected = expected_type(item["filename"])
        if expected is not None and item.get("content_type", expected) != expected:
            return Problem(422, "invalid_attachment", "The name of an attachment contradicts its `content_type`.")
        size += len(item.get("content", ""))
    if size > MAX_ATTACHMENT_BYTES:
        return Problem(422, "invalid_attachment", "The attachments are larger than 40 MB.")
    return None


def _tags(email: dict[str, Any]) -> Problem | None:
    tags = email.get("tags", [])
    if not isinstance(tags, list):
        return _invalid("The `tags` field must be an array.")
    for tag in tags:
        if not isinstance(tag, dict) or tag.keys() != {"name", "value"}:
            return _invalid("A tag needs a `name` and a `value`.")
        if not all(isinstance(part, str) and _TAG.match(part) for part in tag.values()):
            return _invalid("Tags should only contain ASCII letters, numbers, underscores, or dashes.")
    return None
