"""The events of SES as a configuration set publishes them, in the envelope that SNS puts around them.

Shapes from docs.aws.amazon.com, "Contents of event data that Amazon SES publishes to Amazon SNS".
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import orjson

from devstack.sandbox.entry import Entry
from devstack.sandbox.providers.contract import Call, Target
from devstack.sandbox.providers.ses_signature import sign_message

CERTIFICATE: Final = "/SimpleNotificationService-5a6d2b0c4f1e48d79c3b7a1d2e6f8091.pem"
_TOPIC: Final = "arn:aws:sns:us-east-1:123456789012:hermod"
_DETAILS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "accepted": ("Send", "send", {}),
    "delivered": (
        "Delivery",
        "delivery",
        {"processingTimeMillis": 540, "smtpResponse": "250 2.6.0 Message received", "reportingMTA": "a8-70.example"},
    ),
    "deferred": ("DeliveryDelay", "deliveryDelay", {"delayType": "MailboxFull"}),
    "bounced": ("Bounce", "bounce", {"bounceType": "Permanent", "bounceSubType": "General", "feedbackId": "0100-b"}),
    "soft_bounced": (
        "Bounce",
        "bounce",
        {"bounceType": "Transient", "bounceSubType": "MailboxFull", "feedbackId": "0100-s"},
    ),
    "suppressed": (
        "Bounce",
        "bounce",
        {"bounceType": "Permanent", "bounceSubType": "OnAccountSuppressionList", "feedbackId": "0100-l"},
    ),
    "complained": (
        "Complaint",
        "complaint",
        {"complaintFeedbackType": "abuse", "complaintSubType": None, "feedbackId": "0100-c", "userAgent": "Feedback"},
    ),
    "failed": ("Reject", "reject", {"reason": "Bad content"}),
    "opened": ("Open", "open", {"ipAddress": "192.0.2.1", "userAgent": "Mozilla/5.0"}),
    "clicked": (
        "Click",
        "click",
        {"ipAddress": "192.0.2.1", "userAgent": "Mozilla/5.0", "link": "https://example.com/", "linkTags": None},
    ),
    "unsubscribed": (
        "Subscription",
        "subscription",
        {"contactList": "news", "source": "UnsubscribeHeader", "newTopicPreferences": {"unsubscribeAll": True}},
    ),
}
_BOUNCES: Final = {
    "bounced": ("failed", "5.1.1", "smtp; 550 5.1.1 <{to}>... User unknown"),
    "soft_bounced": ("failed", "5.2.2", "smtp; 552 5.2.2 <{to}>: mailbox full"),
    "suppressed": ("failed", "5.1.1", "Amazon SES did not send the message to this address"),
}


def event_of(entry: Entry, happening: str, now: datetime) -> dict[str, Any] | None:
    """The event that SES would publish, or None where it has none for this."""
    found = _DETAILS.get(happening)
    if found is None:
        return None
    type_, name, detail = found
    at = _iso(now)
    detail = {"timestamp": at, **detail} if type_ not in ("Send", "Reject") else dict(detail)
    to = entry.to[0]
    if happening in _BOUNCES:
        action, status, diagnostic = _BOUNCES[happening]
        person = {"emailAddress": to, "action": action, "status": status, "diagnosticCode": diagnostic.format(to=to)}
        detail["bouncedRecipients"] = [person]
    elif type_ == "Complaint":
        detail["complainedRecipients"] = [{"emailAddress": to}]
    elif type_ == "Delivery":
        detail["recipients"] = [to]
    elif type_ == "DeliveryDelay":
        detail["delayedRecipients"] = [{"emailAddress": to, "status": "4.2.2", "diagnosticCode": "smtp; 452 4.2.2"}]
    return {"eventType": type_, "mail": _mail(entry, at), name: detail}


def notification(
    message: str, target: Target, *, identity: str, subject: str | None = None, version: str = "2"
) -> Call:
    """SNS's call with a message to its topic."""
    more = {} if subject is None else {"Subject": subject}
    return _call("Notification", message, target, identity=identity, version=version, more=more)


def confirmation(target: Target, *, type_: str = "SubscriptionConfirmation", version: str = "2") -> Call:
    """SNS's call that asks whether the topic may call this URL; whoever gets it has to fetch its SubscribeURL.

    With `UnsubscribeConfirmation` it says that the topic will not call any more, and that this would undo it.
    """
    topic = _topic(target.credentials)
    token = "2336412f37fb687f5d51e6e2425e" * 8
    message = (
        f"You have chosen to subscribe to the topic {topic}.\nTo confirm the subscription, visit the SubscribeURL."
    )
    root = _root(target).removesuffix("/")
    more = {
        "Token": token,
        "SubscribeURL": f"{root}/?Action=ConfirmSubscription&TopicArn={quote(topic, safe=':')}&Token={token}",
    }
    return _call(type_, message, target, identity="confirm", version=version, more=more)


def _call(
    type_: str,
    message: str,
    target: Target,
    *,
    identity: str,
    version: str,
    more: Mapping[str, str] | None = None,
) -> Call:
    fields = {
        "Type": type_,
        "MessageId": str(uuid.uuid5(uuid.NAMESPACE_URL, identity)),
        "TopicArn": _topic(target.credentials),
        "Message": message,
        "Timestamp": _iso(target.now),
        **(more or {}),
    }
    fields["SignatureVersion"] = version
    fields["Signature"] = sign_message(fields, version)
    fields["SigningCertURL"] = _root(target) + CERTIFICATE
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "x-amz-sns-message-type": type_,
        "x-amz-sns-message-id": fields["MessageId"],
        "x-amz-sns-topic-arn": fields["TopicArn"],
        "User-Agent": "Amazon Simple Notification Service Agent",
    }
    return Call("POST", target.url, headers, orjson.dumps(fields))


def _root(target: Target) -> str:
    """Where certificates lie and subscriptions are confirmed: at Amazon, or here."""
    if target.sandbox is not None:
        return f"{target.sandbox.rstrip('/')}/ses"
    return f"https://sns.{target.credentials.get('region', 'us-east-1')}.amazonaws.com"


def _topic(credentials: Mapping[str, str]) -> str:
    return credentials.get("topic_arn", _TOPIC)


def _mail(entry: Entry, at: str) -> dict[str, Any]:
    tags = {"ses:configuration-set": ["hermod"], "ses:source-ip": ["192.0.2.0"]}
    if entry.message_id is not None:
        tags["hermod_message_id"] = [entry.message_id]
    return {
        "timestamp": at,
        "messageId": entry.provider_message_id,
        "source": entry.sender,
        "sendingAccountId": "123456789012",
        "destination": list(entry.to),
        "headersTruncated": False,
        "headers": [{"name": name, "value": value} for name, value in entry.headers.items()],
        "commonHeaders": {"subject": entry.subject, "to": [entry.to[0]], "messageId": entry.provider_message_id},
        "tags": tags,
    }


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
