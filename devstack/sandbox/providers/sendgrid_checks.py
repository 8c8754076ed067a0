"""What SendGrid checks in the body of a mail send, field by field, with its own messages."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

import orjson

from devstack.sandbox.providers.syntax import decoded, is_email

Problem = tuple[str, str | None]
"""Message and field, as in SendGrid's `errors`."""

MAX_PERSONALIZATIONS: Final = 1000
MAX_RECIPIENTS: Final = 1000
MAX_CATEGORIES: Final = 10
MAX_CUSTOM_ARGS_BYTES: Final = 10_000
MAX_SCHEDULE_SECONDS: Final = 72 * 3600
RESERVED_HEADERS: Final = frozenset(
    "x-sg-id x-sg-eid received dkim-signature content-type content-transfer-encoding "
    "to from subject reply-to cc bcc".split()
)
_MAIL: Final = frozenset(
    "personalizations from reply_to reply_to_list subject content attachments template_id headers categories "
    "custom_args send_at batch_id asm ip_pool_name mail_settings tracking_settings sections".split()
)
_PERSONALIZATION: Final = frozenset(
    "from to cc bcc subject headers substitutions dynamic_template_data custom_args send_at".split()
)
_PERSON: Final = frozenset(("email", "name"))
_CONTENT: Final = frozenset(("type", "value"))
_ATTACHMENT: Final = frozenset(("content", "filename", "type", "disposition", "content_id"))
_HEADER_NAME: Final = re.compile(r"^[!-9;-~]+$")
_EXAMPLE: Final = (
    'e.g. {"email": "example@example.com"} or {"email": "example@example.com", "name": "Example Recipient"}'
)
_SWITCHES: Final = {
    "mail_settings": ("sandbox_mode", "footer", "bypass_list_management", "bypass_spam_management"),
    "tracking_settings": ("click_tracking", "open_tracking", "subscription_tracking", "ganalytics"),
}


def check_mail(mail: dict[str, Any], now: float) -> list[Problem]:
    """Everything that is wrong with the mail; empty where SendGrid would take it. `now` in unix seconds."""
    check = _Check(now)
    check.names(mail, _MAIL)
    check.personalizations(mail)
    check.people(mail)
    check.subject(mail)
    check.content(mail)
    check.attachments(mail)
    check.headers(mail, "headers")
    check.custom_args(mail)
    check.categories(mail)
    check.send_at(mail, "send_at")
    check.settings(mail)
    return check.problems


class _Check:
    """Collects problems. Every method looks at one part of the mail and survives any shape of it."""

    def __init__(self, now: float) -> None:
        self.problems: list[Problem] = []
        self._now = now

    def _fail(self, message: str, field: str | None) -> None:
        self.problems.append((message, field))

    def names(self, part: dict[str, Any], known: Collection[str]) -> None:
        if not part.keys() <= set(known):
            self._fail("Bad Request", None)

    def personalizations(self, mail: dict[str, Any]) -> None:
        blocks = mail.get("personalizations")
        if not isinstance(blocks, list) or not blocks:
            self._fail(
                "The personalizations field is required and must have at least one personalization.",
                "personalizations",
            )
            return
        if len(blocks) > MAX_PERSONALIZATIONS:
            self._fail(
                f"The personalization block is limited to {MAX_PERSONALIZATIONS} personalizations per API request. "
                f"You have provided {len(blocks)} personalizations. "
                "Please consider splitting this into multiple requests and resending your request.",
                "personalizations",
            )
        recipients = 0
        for position, block in enumerate(blocks):
            if isinstance(block, dict):
                recipients += self._personalization(block, f"personalizations.{position}")
            else:
                self._fail("Bad Request", None)
        if recipients > MAX_RECIPIENTS:
            self._fail(
                f"There is a limit of {MAX_RECIPIENTS} total recipients (to + cc + bcc) per request.",
                "personalizations",
            )

    def _personalization(self, block: dict[str, Any], where: str) -> int:
        """How many recipients the block has."""
        self.names(block, _PERSONALIZATION)
        if not isinstance(block.get("to"), list) or not block["to"]:
            self._fail(
                "The to array is required for all personalization objects, and must have at least one email object "
                "with a valid email address.",
                f"{where}.to",
            )
        seen: set[str] = set()
        count = 0
        for line in ("to", "cc", "bcc"):
            people = block.get(line, [])
            if not isinstance(people, list):
                self._fail("Bad Request", None)
                continue
            for position, person in enumerate(people):
                count += 1
                if self._person(person, f"{where}.{line}.{position}") and person["email"].lower() in seen:
                    self._fail(
                        "Each email address in the personalization block should be unique between to, cc, and bcc. "
                        f"We found the first duplicate instance of [{person['email']}] in the {where}.{line} field.",
                        where,
                    )
                elif isinstance(person, dict):
                    seen.add(str(person.get("email")).lower())
        if "from" in block:
            self._person(block["from"], f"{where}.from")
        if "subject" in block and not _is_text(block["subject"]):
            self._fail(
                "The subject of your email must be a string at least one character in length.", f"{where}.subject"
            )
        self.headers(block, f"{where}.headers")
        self.send_at(block, f"{where}.send_at")
        return count

    def _person(self, person: object, where: str) -> bool:
        if not isinstance(person, dict):
            self._fail(
                f"Each recipient object must at least have an email address and may also contain a name. {_EXAMPLE}",
                where,
            )
            return False
        self.names(person, _PERSON)
        if not is_email(person.get("email")) or len(person["email"]) > 320:
            self._fail("Does not contain a valid address.", f"{where}.email")
            return False
        if not isinstance(person.get("name", ""), str):
            self._fail("Bad Request", None)
            return False
        return True

    def people(self, mail: dict[str, Any]) -> None:
        """From and reply-to."""
        sender = mail.get("from")
        if not isinstance(sender, dict) or "email" not in sender:
            self._fail(
                "The from object must be provided for every email send. It is an object that requires the email "
                f"parameter, but may also contain a name parameter. {_EXAMPLE}.",
                "from.email",
            )
        elif not is_email(sender["email"]):
            self._fail("The from email does not contain a valid address.", "from.email")
        else:
            self._person(sender, "from")
        if "reply_to" in mail and "reply_to_list" in mail:
            self._fail("reply_to and reply_to_list cannot both be used.", "reply_to_list")
        if "reply_to" in mail:
            self._person(mail["reply_to"], "reply_to")
        replies = mail.get("reply_to_list", [])
        if not isinstance(replies, list) or len(replies) > MAX_RECIPIENTS:
            self._fail("Bad Request", None)
            return
        for position, person in enumerate(replies):
            self._person(person, f"reply_to_list.{position}")

    def subject(self, mail: dict[str, Any]) -> None:
        if "subject" in mail and not _is_text(mail["subject"]):
            self._fail("The subject of your email must be a string at least one character in length.", "subject")
        elif "subject" not in mail and "template_id" not in mail and not _all_have_subject(mail):
            self._fail(
                "The subject is required. You can get around this requirement if you use a template with a subject "
                "defined or if every personalization has a subject defined.",
                "subject",
            )

    def content(self, mail: dict[str, Any]) -> None:
        parts = mail.get("content")
        if parts is None and _is_text(mail.get("template_id")):
            return
        if not isinstance(parts, list) or not parts:
            self._fail(
                "Unless a valid template_id is provided, the content parameter is required. There must be at least "
                "one defined content block. We typically suggest both text/plain and text/html blocks are included, "
                "but only one block is required.",
                "content",
            )
            return
        kinds = []
        for position, part in enumerate(part if isinstance(part, dict) else {} for part in parts):
            self.names(part, _CONTENT)
            if not _is_text(part.get("type")):
                self._fail(
                    "Your content type must be a string with length of at least one character.",
                    f"content.{position}.type",
                )
                continue
            if re.search(r"[;,\r\n]", part["type"]):
                self._fail("Cannot contain ';', or CRLF characters.", f"content.{position}.type")
            if not _is_text(part.get("value")):
                self._fail(
                    "The content value must be a string at least one character in length.", f"content.{position}.value"
                )
            kinds.append(part["type"].lower())
        ranks = [{"text/plain": 0, "text/html": 1}.get(kind, 2) for kind in kinds]
        if ranks != sorted(ranks) or any(kinds.count(kind) > 1 for kind in ("text/plain", "text/html")):
            self._fail(
                "Following RFC 1341, section 7.2, if either text/html or text/plain are to be sent in your email: "
                "text/plain needs to be first, followed by text/html, followed by any other content.",
                "content",
            )

    def attachments(self, mail: dict[str, Any]) -> None:
        items = mail.get("attachments", [])
        if not isinstance(items, list):
            self._fail("Bad Request", None)
            return
        for position, item in enumerate(items):
            self._attachment(item if isinstance(item, dict) else {}, f"attachments.{position}")

    def _attachment(self, item: dict[str, Any], where: str) -> None:
        self.names(item, _ATTACHMENT)
        if not _is_text(item.get("content")):
            self._fail("The attachment content must be a string at least one character in length.", f"{where}.content")
        elif decoded(item["content"]) is None:
            self._fail("The attachment content must be base64 encoded.", f"{where}.content")
        if not _is_text(item.get("filename")):
            self._fail("filename is required.", f"{where}.filename")
        elif re.search(r"[\r\n]", item["filename"]):
            self._fail("The filename of your attachment cannot contain CRLF characters.", f"{where}.filename")
        if "type" in item and not _is_text(item["type"]):
            self._fail("The attachment type must be a string and at least one character in length.", f"{where}.type")
        elif re.search(r"[;\r\n]", item.get("type", "")):
            self._fail("The type cannot contain ';', or CRLF characters.", f"{where}.type")
        if item.get("disposition", "attachment") not in ("attachment", "inline"):
            self._fail(
                'The disposition of your attachment can be either "inline" or "attachment". '
                f"You provided {item['disposition']}.",
                f"{where}.disposition",
            )
        content_id = item.get("content_id", "")
        if not isinstance(content_id, str):
            self._fail(
                f"The content ID of your attachment must be a string. You provided {content_id}.", f"{where}.content_id"
            )
        elif re.search(r"[;,\r\n<>]", content_id):
            self._fail("The content ID of your attachment cannot contain CRLF characters.", f"{where}.content_id")

    def headers(self, part: dict[str, Any], where: str) -> None:
        headers = part.get("headers", {})
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            self._fail("The header values must be strings.", where)
            return
        names = [name.lower() for name in headers]
        if len(set(names)) < len(names):
            self._fail("The headers cannot contain duplicate keys.", where)
        if not all(_HEADER_NAME.match(name) for name in names):
            self._fail("Header keys cannot contain non-ASCII characters and empty spaces.", where)
        if not RESERVED_HEADERS.isdisjoint(names):
            self._fail("Header can not be one of the reserved keys.", where)
        if any(re.search(r"[\r\n]", value) for value in headers.values()):
            self._fail("Bad Request", None)

    def custom_args(self, mail: dict[str, Any]) -> None:
        """Values must be strings: SendGrid answers anything else with a bare Bad Request."""
        shared = mail.get("custom_args", {})
        blocks = mail.get("personalizations")
        for block in blocks if isinstance(blocks, list) else ():
            own = block.get("custom_args", {}) if isinstance(block, dict) else {}
            if not isinstance(shared, dict) or not isinstance(own, dict):
                self._fail("Bad Request", None)
                return
            merged = {**shared, **own}
            if not all(isinstance(value, str) for value in merged.values()):
                self._fail("Bad Request", None)
                return
            if len(orjson.dumps(merged)) > MAX_CUSTOM_ARGS_BYTES:
                self._fail(
                    "The combined size of both global and personalization custom arguments may not exceed "
                    "10,000 bytes per personalization.",
                    "custom_args",
                )
                return

    def categories(self, mail: dict[str, Any]) -> None:
        categories = mail.get("categories", [])
        if not isinstance(categories, list) or not all(isinstance(category, str) for category in categories):
            self._fail("Categories must be an array of strings.", "categories")
            return
        if len(categories) > MAX_CATEGORIES:
            self._fail(
                f"There is a limit of {MAX_CATEGORIES} categories for each email that is sent. "
                f"You provided {len(categories)} categories.",
                "categories",
            )
        for category in categories:
            if len(category) > 255:
                self._fail("Each category must not be longer than 255 characters.", "categories")
            if not category.isascii():
                self._fail("Categories can not contain non-ASCII characters.", "categories")
            if categories.count(category) > 1:
                self._fail(
                    f"The categories must be a unique list, and you have included {category} more than once.",
                    "categories",
                )
                return

    def send_at(self, part: dict[str, Any], where: str) -> None:
        if "send_at" not in part:
            return
        if type(part["send_at"]) is not int:
            self._fail("The send_at parameter is expecting a Unix timestamp as an integer.", where)
        elif part["send_at"] > self._now + MAX_SCHEDULE_SECONDS:
            self._fail("Scheduling more than 72 hours in advance is forbidden.", where)

    def settings(self, mail: dict[str, Any]) -> None:
        for name in ("batch_id", "template_id"):
            if name in mail and not isinstance(mail[name], str):
                self._fail(f"The {name} must be a string.", name)
        pool = mail.get("ip_pool_name", "pool")
        if not isinstance(pool, str) or not 2 <= len(pool) <= 64:
            self._fail("The name of your IP pool must be a string.", "ip_pool_name")
        group = mail.get("asm")
        if group is not None and (not isinstance(group, dict) or type(group.get("group_id")) is not int):
            self._fail("The ASM group ID must be an integer.", "asm.group_id")
        for area, switches in _SWITCHES.items():
            settings = mail.get(area, {})
            if not isinstance(settings, dict) or not all(isinstance(value, dict) for value in settings.values()):
                self._fail("Bad Request", None)
                continue
            for switch in switches:
                if type(settings.get(switch, {}).get("enable", True)) is not bool:
                    words = switch.replace("_", " ")
                    self._fail(f"The {words} enable param should be a boolean value.", f"{area}.{switch}.enable")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _all_have_subject(mail: dict[str, Any]) -> bool:
    blocks = mail.get("personalizations")
    return isinstance(blocks, list) and all(isinstance(block, dict) and block.get("subject") for block in blocks)
