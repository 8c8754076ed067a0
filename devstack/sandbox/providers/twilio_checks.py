"""What Twilio checks in the parameters of a new message, in Twilio's order and with Twilio's codes."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import orjson

from devstack.sandbox.providers.syntax import is_e164

Form = dict[str, list[str]]

MAX_BODY: Final = 1600
MAX_MEDIA: Final = 10
MAX_VALIDITY_SECONDS: Final = 36_000
_SHORT_CODE: Final = re.compile(r"^[0-9]{3,8}$")
_ALPHANUMERIC: Final = re.compile(r"^(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}$")
_SERVICE_SID: Final = re.compile(r"^MG[0-9a-fA-F]{32}$")
_CONTENT_SID: Final = re.compile(r"^HX[0-9a-fA-F]{32}$")
_WHATSAPP: Final = "whatsapp:"
_SOON, _LATE = timedelta(minutes=15), timedelta(days=35)

_GSM_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENDED: Final = frozenset("\f^{}\\[~]|€")


class TwilioError(NamedTuple):
    code: int
    message: str
    status: int = 400


def check_message(form: Form, now: datetime) -> TwilioError | None:
    """The first thing that is wrong with the parameters, or None where Twilio would take the message."""
    return _check_to(form) or _check_sender(form) or _check_words(form) or _check_options(form, now)


def _check_to(form: Form) -> TwilioError | None:
    to = _one(form, "To")
    if not to:
        return TwilioError(21604, "A 'To' phone number is required.")
    if not is_e164(to.removeprefix(_WHATSAPP)):
        return TwilioError(21211, f"The 'To' number {to} is not a valid phone number.")
    return None


def _check_sender(form: Form) -> TwilioError | None:
    to, sender, service = _one(form, "To"), _one(form, "From"), _one(form, "MessagingServiceSid")
    if not sender and not service:
        return TwilioError(21603, "A 'From' or 'MessagingServiceSid' parameter is required to send a message.")
    if service and not _SERVICE_SID.match(service):
        return TwilioError(21705, "The Messaging Service is invalid")
    if not sender or _SERVICE_SID.match(sender):
        return None
    if sender.startswith(_WHATSAPP) != to.startswith(_WHATSAPP):
        return TwilioError(21910, "Invalid 'From' and 'To' pair. 'From' and 'To' should be of the same channel")
    number = sender.removeprefix(_WHATSAPP)
    if number == "+15005550001" or not (is_e164(number) or _SHORT_CODE.match(number) or _ALPHANUMERIC.match(number)):
        return TwilioError(
            21212, f"The 'From' number {sender} is not a valid phone number, shortcode, or alphanumeric sender ID."
        )
    if number == "+15005550007":
        return TwilioError(
            21606,
            f"The From phone number {sender} is not a valid, SMS-capable inbound phone number or short code for your "
            "account.",
        )
    if number == "+15005550008":
        return TwilioError(21611, f"This 'From' number {sender} has exceeded the maximum number of queued messages")
    if number == to.removeprefix(_WHATSAPP):
        return TwilioError(21266, "'To' and 'From' numbers cannot be the same")
    return None


def _check_words(form: Form) -> TwilioError | None:
    body, media_urls, content = _one(form, "Body"), form.get("MediaUrl", []), _one(form, "ContentSid")
    if not body and not media_urls and not content:
        return TwilioError(21602, "Message body is required.")
    if len(body) > MAX_BODY:
        return TwilioError(21617, f"The concatenated message body exceeds the {MAX_BODY} character limit.")
    if len(media_urls) > MAX_MEDIA:
        return TwilioError(21623, "Number of media files exceeds allowed limit")
    if not all(_is_url(url) for url in media_urls):
        return TwilioError(21620, "Invalid media URL(s)")
    if content and not _CONTENT_SID.match(content):
        return TwilioError(21655, "The ContentSid is Invalid")
    if "ContentVariables" in form and not _is_flat_object(_one(form, "ContentVariables")):
        return TwilioError(21656, "The ContentVariables Parameter is invalid")
    return None


def _check_options(form: Form, now: datetime) -> TwilioError | None:
    callback = _one(form, "StatusCallback")
    if callback and (not _is_url(callback) or "_" in (urlsplit(callback).hostname or "")):
        return TwilioError(21609, f"The 'StatusCallback' URL {callback} is not a valid URL.")
    if "ValidityPeriod" in form:
        seconds = _one(form, "ValidityPeriod")
        if not seconds.isdigit() or not 1 <= int(seconds) <= MAX_VALIDITY_SECONDS:
            return TwilioError(21624, f"Invalid validity period value: {seconds}")
    if "ScheduleType" in form or "SendAt" in form:
        return _check_schedule(form, now)
    return None


def _check_schedule(form: Form, now: datetime) -> TwilioError | None:
    if _one(form, "ScheduleType") != "fixed":
        return TwilioError(20001, "Invalid parameter: ScheduleType")
    if not _one(form, "SendAt"):
        return TwilioError(35111, "SendAt timestamp is missing")
    if not _one(form, "MessagingServiceSid") and not _SERVICE_SID.match(_one(form, "From")):
        return TwilioError(35118, "MessagingServiceSid is required to schedule a message")
    try:
        send_at = datetime.fromisoformat(_one(form, "SendAt"))
    except ValueError:
        return TwilioError(35115, "SendAt must be an ISO-8601 timestamp in UTC")
    if send_at.tzinfo is None:
        send_at = send_at.replace(tzinfo=UTC)
    if not _SOON <= send_at - now <= _LATE:
        return TwilioError(
            35115, "SendAt time must be between 900 seconds and 35 days (3024000 seconds) in the future, inclusive"
        )
    return None


def segments(text: str) -> int:
    """SMS segments: 160 or 153 units of GSM-7 (extended characters take two), 70 or 67 of UCS-2.

    A character of two units goes whole into the next segment where only one unit is left.
    """
    if all(character in _GSM_BASIC or character in _GSM_EXTENDED for character in text):
        sizes, single, joined = [2 if character in _GSM_EXTENDED else 1 for character in text], 160, 153
    else:
        sizes, single, joined = [len(character.encode("utf-16-le")) // 2 for character in text], 70, 67
    if sum(sizes) <= single:
        return 1
    ends = 0
    for size in sizes:
        ends += size + (1 if ends % joined + size > joined else 0)
    return math.ceil(ends / joined)


def _one(form: Form, name: str) -> str:
    return form.get(name, [""])[0]


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_flat_object(value: str) -> bool:
    try:
        variables = orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return isinstance(variables, dict) and all(isinstance(item, str) for item in variables.values())
