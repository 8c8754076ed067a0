"""A message as it is asked for, as it is answered, and as its story is told."""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from hermod.contracts.notifications.content import AnyContent, Channel, Email, Push, Sms, WhatsApp
from hermod.contracts.notifications.receipts import ReceiptView
from hermod.contracts.notifications.retries import Preset, Retry, RetrySource
from hermod.contracts.notifications.templates import Locale
from hermod.contracts.priorities import DEFAULT_PRIORITY
from hermod.contracts.values.model import Model, misplaced
from hermod.contracts.values.plain_json import PlainObject
from hermod.contracts.values.scalars import Instant, Text, Whole

AccountName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
MAX_BATCH = 5_000
"""Messages in one `POST /v1/messages/batch` and in one `send_many` statement."""

MAX_METADATA = 16_384


class Status(StrEnum):
    """Where a message is. The arrows are in `hermod.domain.states`."""

    PENDING = "pending"
    QUEUED = "queued"
    SCHEDULED = "scheduled"
    DEFERRED = "deferred"
    SENDING = "sending"
    RETRYING = "retrying"
    UNKNOWN = "unknown"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"


class Outcome(StrEnum):
    """What one wire request came to. The closed set; `hermod.contracts.notifications.outcomes` carries the details."""

    ACCEPTED = "accepted"
    THROTTLED = "throttled"
    TRANSIENT = "transient"
    UNKNOWN = "unknown"
    RECIPIENT_REJECTED = "recipient_rejected"
    MESSAGE_REJECTED = "message_rejected"
    ACCOUNT_HALTED = "account_halted"


class Category(StrEnum):
    TRANSACTIONAL = "transactional"
    MARKETING = "marketing"


class Guarantee(StrEnum):
    """What to do when nobody can say whether a request was accepted: send again, or wait for word."""

    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"


_USUAL: Final = {Channel.SMS: Preset.SMS, Channel.WHATSAPP: Preset.FALLBACK}


class Options(Model):
    """How a message is to be sent: everything but its content."""

    priority: Annotated[int, Whole(1, 10)] = DEFAULT_PRIORITY
    """10 is the most urgent."""
    send_at: Instant | None = None
    not_after: Instant | None = None
    guarantee: Guarantee | None = None
    """Default: at_least_once for transactional, at_most_once for marketing."""
    category: Category = Category.TRANSACTIONAL
    provider_account: AccountName | None = None
    retry: Retry | None = None
    """A preset, or the waits after each attempt: three of them make four attempts. Default: what the provider account,
    the channel or the tenant says, else `sms` for SMS, `fallback` for WhatsApp, `notification` for the others."""
    locale: Locale | None = None
    """Of the recipient. A template is taken in it, or in the nearest one that it has."""
    metadata: PlainObject = Field(default_factory=dict, max_length=50)

    @field_validator("metadata")
    @classmethod
    def _short(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        if metadata and len(json.dumps(metadata)) > MAX_METADATA:
            raise ValueError(f"longer than {MAX_METADATA} characters as JSON")
        return metadata

    @model_validator(mode="after")
    def _times_in_order(self) -> Self:
        if self.send_at and self.not_after and self.not_after <= self.send_at:
            raise misplaced("not_after", "must be later than send_at")
        return self

    def guaranteed(self) -> Guarantee:
        if self.guarantee is not None:
            return self.guarantee
        return Guarantee.AT_MOST_ONCE if self.category is Category.MARKETING else Guarantee.AT_LEAST_ONCE

    def preset(self, channel: Channel) -> Preset:
        """The preset that is asked for, or the channel's usual one."""
        return self.retry if isinstance(self.retry, Preset) else _USUAL.get(channel, Preset.NOTIFICATION)


class EmailMessage(Email, Options):
    """`POST /v1/messages` with `channel: email`."""


class SmsMessage(Sms, Options):
    """`POST /v1/messages` with `channel: sms`."""


class WhatsAppMessage(WhatsApp, Options):
    """`POST /v1/messages` with `channel: whatsapp`."""


class PushMessage(Push, Options):
    """`POST /v1/messages` with `channel: push`."""


AnyMessage = Annotated[EmailMessage | SmsMessage | WhatsAppMessage | PushMessage, Field(discriminator="channel")]


KEY_PATTERN: Final = r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"
IdempotencyKey = Annotated[str, StringConstraints(pattern=KEY_PATTERN, max_length=255)]


class Submission(Model):
    """One message ready for the ledger: checked content, options, and the caller's idempotency key."""

    content: AnyContent
    options: Options = Options()
    idempotency_key: IdempotencyKey | None = None


class Receipt(Model):
    """The answer to an accepted message. `status` is the state at the moment of the answer."""

    id: str
    status: Status
    workflow_id: str
    also: tuple[str, ...] = ()
    """The ids of further messages that the call made: a push to a contact is one message for each of its devices."""


class AttemptView(Model):
    """One wire request. `outcome` is null while the answer is awaited."""

    number: int
    account: str
    provider: str
    outcome: Outcome | None
    status_code: int | None
    error_code: str | None
    error: str | None
    provider_message_id: str | None
    started_at: datetime
    duration_ms: int | None


class DecisionView(Model):
    """One choice that was made about the message, and why."""

    at: datetime
    kind: str
    verdict: str
    reason: str


class MessageView(Model):
    """A message's whole story, as `GET /v1/messages/{id}` tells it."""

    id: str
    channel: Channel
    status: Status
    to: str
    priority: int
    category: Category
    guarantee: Guarantee
    retry: Preset | tuple[float, ...]
    """A preset, or waits in seconds."""
    retry_from: RetrySource | None
    """Who said so; null for a message of an earlier version. Where no account is named, it is the last one asked."""
    provider_account: str | None
    provider: str | None
    provider_message_id: str | None
    workflow_id: str
    request_id: str | None
    template: str | None
    """Name, locale and version of the template that the words were made from: `welcome/de@3`."""
    segments: int | None
    """Parts of an SMS, as we count them; the provider's count decides what it costs."""
    group_id: str | None
    """The first message of the call, where that made several (a push to a contact with several devices)."""
    content_kept: bool
    """False once the content was dropped: the record stays, and the message cannot be sent again."""
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    send_at: datetime | None
    not_after: datetime | None
    next_attempt_at: datetime | None
    finished_at: datetime | None
    discarded_at: datetime | None
    """When somebody took this dead letter off the list; null for all that is on it, or never was."""
    error_code: str | None
    error: str | None
    attempts: tuple[AttemptView, ...]
    decisions: tuple[DecisionView, ...]
    receipts: tuple[ReceiptView, ...] = ()
    """What the provider has reported since, in the order in which it came."""


class MessageSummary(Model):
    """A message as a row of a list."""

    id: str
    channel: Channel
    status: Status
    to: str
    provider: str | None
    workflow_id: str
    created_at: datetime
    updated_at: datetime
    next_attempt_at: datetime | None
    discarded_at: datetime | None
    error_code: str | None
    error: str | None


class Page(Model):
    """One page of a list; `next_cursor` is null on the last one."""

    items: tuple[MessageSummary, ...]
    next_cursor: str | None


class Narrowed(Model):
    """What a list of messages may be narrowed to."""

    status: Status | None = None
    """With it, discarded dead letters are left out, unless `discarded` says otherwise."""
    channel: Channel | None = None
    error_code: Annotated[Text, StringConstraints(min_length=1, max_length=200)] | None = None
    """As the message has it: of its last request, or why none was made."""
    since: Instant | None = None
    """Accepted from then on."""
    until: Instant | None = None
    """Accepted before then."""
    discarded: bool | None = None
    """Only dead letters that were discarded, or only what was not; otherwise both."""


class Resolution(Model):
    """An operator's word on a message whose outcome is unknown."""

    outcome: Literal["sent", "not_sent"]
