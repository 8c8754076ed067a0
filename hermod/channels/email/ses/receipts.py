"""Events of SES, as a configuration set publishes them to an SNS topic, or an identity as feedback notifications.

    Message: {"eventType": "Bounce", "mail": {"messageId", "destination", "tags"}, "bounce": {…}}

One event of SES may be about several recipients (a copy that bounced, too), which are events of their own here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from hermod.channels.calls import rfc3339
from hermod.channels.email.ses import sns
from hermod.channels.email.ses.sender import MESSAGE_ID_TAG
from hermod.channels.http_sender import provider_id, text_of
from hermod.channels.redaction import one_line
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.tenants.accounts import Account
from hermod.ports.notifications.receipts import (
    Callback,
    Event,
    ParsedReceipt,
    ReceiptContext,
    SignatureInvalid,
    Unreadable,
)

WORDS: Final[dict[str, ReceiptEventType]] = {
    "Send": ReceiptEventType.ACCEPTED,
    "Delivery": ReceiptEventType.DELIVERED,
    "DeliveryDelay": ReceiptEventType.DEFERRED,
    "Reject": ReceiptEventType.FAILED,
    "Rendering Failure": ReceiptEventType.FAILED,
    "Open": ReceiptEventType.OPENED,
    "Click": ReceiptEventType.CLICKED,
    "Subscription": ReceiptEventType.UNSUBSCRIBED,
    "Complaint": ReceiptEventType.COMPLAINED,
    "Complaint/OnAccountSuppressionList": ReceiptEventType.SUPPRESSED,  # never sent: complained before
    "Complaint/not-spam": ReceiptEventType.UNKNOWN,  # takes an earlier report back
    "Bounce/Permanent": ReceiptEventType.BOUNCED,
    "Bounce/Permanent/Suppressed": ReceiptEventType.SUPPRESSED,
    "Bounce/Permanent/OnAccountSuppressionList": ReceiptEventType.SUPPRESSED,
    "Bounce/Transient": ReceiptEventType.SOFT_BOUNCED,  # told only when SES has given up
    "Bounce/Transient/MessageTooLarge": ReceiptEventType.FAILED,
    "Bounce/Transient/ContentRejected": ReceiptEventType.FAILED,
    "Bounce/Transient/AttachmentRejected": ReceiptEventType.FAILED,
    "Bounce/Undetermined": ReceiptEventType.SOFT_BOUNCED,
}
"""By type, and where it says more, by type and subtype: the longest word that is listed counts."""

_DETAILS: Final = {"DeliveryDelay": "deliveryDelay", "Rendering Failure": "failure"}
"""The object that is named after the type, where it is not just its name in lower case."""
_RECIPIENTS: Final = {
    "Bounce": "bouncedRecipients",
    "Complaint": "complainedRecipients",
    "Delivery": "recipients",
    "DeliveryDelay": "delayedRecipients",
}
_REASONS: Final = ("diagnosticCode", "smtpResponse", "delayType", "reason", "errorMessage", "complaintFeedbackType")


class SesReceipts:
    """Implements `hermod.ports.notifications.receipts.ReceiptReader`."""

    def __init__(self) -> None:
        self._certificates = sns.Certificates()

    async def read(self, call: Callback, account: Account, desk: ReceiptContext) -> ParsedReceipt:
        notice = await sns.notice(call.body, account, desk, self._certificates)
        if notice.type == sns.CONFIRMATION:
            if not notice.subscribe_url or not sns.subscribable(notice.subscribe_url, account):
                raise SignatureInvalid("the subscription is not to be confirmed at Amazon")
            await desk.fetch(notice.subscribe_url)
        return ParsedReceipt(events=tuple(_events(notice))) if notice.type == sns.NOTIFICATION else ParsedReceipt()


def _events(notice: sns.Notice) -> Iterator[Event]:
    try:
        event: Any = orjson.loads(notice.message)
    except orjson.JSONDecodeError:
        # "Successfully validated SNS topic for Amazon SES event publishing.": all that SES ever says in plain words.
        return
    type_ = text_of(_object(event).get("eventType")) or text_of(_object(event).get("notificationType"))
    if type_ is None:
        raise Unreadable("no event of SES")
    mail = _object(event.get("mail"))
    detail = _object(event.get(_DETAILS.get(type_, type_.lower())))
    word, kind = _reading(type_, detail)
    for position, person in enumerate(_people(type_, detail, mail)):
        reason = next((text for name in _REASONS if (text := text_of(person.get(name) or detail.get(name)))), None)
        yield Event(
            id=f"{notice.id[:150]}/{position}",
            kind=kind,
            word=word,
            at=rfc3339(detail.get("timestamp")) or rfc3339(mail.get("timestamp")),
            message_id=_own_id(mail),
            provider_message_id=provider_id(mail.get("messageId")),
            address=text_of(person.get("emailAddress")),
            code=text_of(person.get("status")),
            text=one_line(reason) if reason else None,
        )


def _reading(type_: str, detail: dict[str, Any]) -> tuple[str, ReceiptEventType]:
    """The whole word, and what it means."""
    if type_ == "Bounce":
        parts = (type_, detail.get("bounceType"), detail.get("bounceSubType"))
    elif type_ == "Complaint":
        # Its subtype says that nothing was sent, its feedback type what the reader pressed.
        parts = (type_, detail.get("complaintSubType") or detail.get("complaintFeedbackType"), None)
    else:
        parts = (type_, None, None)
    words = [text for part in parts if (text := text_of(part))]
    listed = (WORDS.get("/".join(words[:length])) for length in range(len(words), 0, -1))
    kind = next((kind for kind in listed if kind is not None), ReceiptEventType.UNKNOWN)
    if type_ == "Subscription" and _object(detail.get("newTopicPreferences")).get("unsubscribeAll") is False:
        kind = ReceiptEventType.UNKNOWN  # some topics of a list, and which of them is not ours to guess
    return "/".join(words)[:200], kind


def _people(type_: str, detail: dict[str, Any], mail: dict[str, Any]) -> list[dict[str, Any]]:
    """Whom it concerns: `{emailAddress, status, diagnosticCode}`. Nobody in particular is one without an address."""
    named = detail.get(_RECIPIENTS.get(type_, ""))
    if not isinstance(named, list) or not named:
        destination = mail.get("destination")
        # Opens and clicks do not say whose they are: it is plain only where there is one recipient.
        named = destination if isinstance(destination, list) and len(destination) == 1 else [{}]
    return [{"emailAddress": person} if isinstance(person, str) else _object(person) for person in named]


def _own_id(mail: dict[str, Any]) -> str | None:
    values = _object(mail.get("tags")).get(MESSAGE_ID_TAG)
    return provider_id(values[0]) if isinstance(values, list) and values else None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
