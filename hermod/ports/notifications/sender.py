"""The one-method interface to a provider. An adapter translates; it does not retry, decide, or log content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from hermod.contracts.notifications.content import AnyContent, Channel
from hermod.contracts.notifications.messages import Category
from hermod.contracts.notifications.outcomes import AnyOutcome
from hermod.contracts.tenants.accounts import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message on its way to one provider."""

    id: str
    """Our message id: carried to the provider as metadata, and as idempotency key where there is one."""
    tenant: str
    content: AnyContent
    sender: str | None
    """The message's own `from`, else the account's."""
    category: Category
    attempt: int
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What a provider can do, as a record: the routing, the docs table and the conformance suite read it."""

    provider: str
    title: str
    """The vendor's name, for people."""
    channels: frozenset[Channel]
    idempotency_key: bool = False
    """The provider recognises a repeat by our key, so an unknown outcome may safely be sent again."""
    retry_after: bool = False
    attachments: bool = False
    inline_images: bool = False
    media: bool = False
    custom_headers: bool = False
    templates: bool = False
    """The provider keeps templates of its own, which a WhatsApp message may name."""
    max_recipients: int = 1
    max_bytes: int | None = None
    """Largest request in bytes, encoded."""
    max_batch: int = 1
    """Messages in one request at most. Above 1, the sender is a `BatchSender`."""
    default_rate: float | None = None
    """Messages a second for an account that names no rate; None: as fast as it goes."""
    rate_counts_requests: bool = False
    """The vendor's rate counts requests, so that a request with a hundred messages counts once."""
    credentials: tuple[str, ...] = ()
    """Names of the credentials, all required unless listed in `optional_credentials`."""
    optional_credentials: tuple[str, ...] = ()
    key_files: tuple[str, ...] = ()
    """Credentials that are the contents of a file, with its line breaks."""
    base_url: str | None = None
    """Where the vendor listens."""
    recipient_hosts: bool = False
    """Requests go to hosts that recipients name: one that is away says nothing about the account."""
    deadline: timedelta = field(default=timedelta(seconds=30))
    """Longest time for one exchange, connecting and reading included."""


class Sender(Protocol):
    """A provider account, ready to send. Built once per account revision, used concurrently."""

    capability: Capability

    async def send(self, message: Outgoing) -> AnyOutcome:
        """Make one wire request and say what it came to.

        Every fault of the wire or the provider is an outcome, never an exception. Cancellation passes through;
        the caller records it as unknown.
        """
        ...

    def cannot_express(self, content: AnyContent) -> str | None:
        """Why this provider cannot carry this content, or None. Asked before an attempt is made."""
        ...

    async def aclose(self) -> None: ...


class BatchSender(Sender, Protocol):
    """A sender that can also put several messages into one request."""

    async def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[AnyOutcome]:
        """One wire request for up to `capability.max_batch` messages; the outcomes in their order.

        What the whole request came to is the outcome of each message in it. Where that is unknown, the provider
        recognises a repeat of the same messages in the same order, and not one of them that is sent alone.
        """
        ...

    def batchable(self, content: AnyContent) -> bool:
        """Whether the batch endpoint takes this content (attachments, schedules). Others are sent alone."""
        ...


class SenderFactory(Protocol):
    """Gives the sender of an account, reusing connections while its settings stay the same."""

    def sender(self, account: Account) -> Sender:
        """Raises InvalidInput where the account's settings do not fit its provider."""
        ...
