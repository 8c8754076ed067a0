"""What the sandbox needs to know of a provider: how it reads a request, and how it words its answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import Fault
from devstack.sandbox.inbox import Inbox

_NONE: Mapping[str, str] = MappingProxyType({})


class Call(NamedTuple):
    """A request as the provider sees it. `path` begins behind the provider's mount point; header names in any case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """What goes back. Without a content type there is none on the wire."""

    status: int
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: Mapping[str, str] = _NONE


class Refused(Exception):
    """The vendor would not take this request; `reply` says so in the vendor's words."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(reply.status, reply.body)


@dataclass(slots=True)
class Submission:
    """A request that passed the vendor's checks."""

    provider_id: str
    """The id that the vendor gives to it."""
    entries: Sequence[Entry]
    """One for each envelope; none where the vendor accepts without sending (a test mode)."""
    recipients: Sequence[str]
    """Bare addresses or numbers, as faults and magic recipients name them."""
    raw: bytes
    key: str | None = None
    """Idempotency key, for a vendor that knows such a thing. The first of several `entries` carries it for all."""
    parts: Sequence[Submission | Reply] = ()
    """The messages of a batch whose vendor answers for each by itself; a Reply is its word on one that it refused.
    `entries` are then those of the parts that it took."""


class Target(NamedTuple):
    """Where a vendor is to report to: the account's receipts URL, and its credentials with the secrets in them."""

    url: str
    credentials: Mapping[str, str]
    now: datetime
    sandbox: str | None = None
    """The sandbox's own address, for a vendor whose report points back to it; None: the vendor's real one."""
    words: str = "STOP"
    """What somebody says who writes to us."""


class HttpProvider(ABC):
    """A vendor's HTTP API, mounted at `/{name}`. Stateless: what it took is in the inbox."""

    name: ClassVar[str]
    title: ClassVar[str]
    """For the page."""
    endpoint: ClassVar[str]
    """The path of the sending endpoint behind the mount point, for the page."""
    http2: ClassVar[bool] = False
    """Speaks HTTP/2 only: at the root of a port of its own, and not under a mount point."""

    compares_bodies: ClassVar[bool] = False
    """An idempotency key stands for the very bytes of its request, not just for its message."""

    @abstractmethod
    def check(self, call: Call) -> Submission:
        """Read the request the way the vendor does. Raises Refused with the vendor's answer."""

    @abstractmethod
    def accepted(self, submission: Submission, provider_id: str, *, repeated: bool) -> Reply:
        """The vendor's answer to what it took, now or (repeated) earlier."""

    @abstractmethod
    def refusal(self, fault: Fault, submission: Submission) -> Reply:
        """The vendor's words for throttle, error_500, error_503, bad_credentials and the two rejections."""

    def key_misused(self) -> Reply:
        """The answer to an idempotency key that stands for another message. Only for vendors that know keys."""
        raise NotImplementedError

    def report(self, entry: Entry, happening: str, target: Target) -> Call | None:
        """The call with which the vendor reports about a message it took, worded and signed as the vendor does.

        `happening` is one of Hermod's words (`hermod.contracts.notifications.receipts.ReceiptEventType`); None where
        the vendor has none for it. `path` is the whole of `target.url`, with whatever the vendor adds to it.
        """
        return None

    def lookup(self, call: Call, inbox: Inbox) -> Reply | None:
        """The answer to a call that carries no message: a question about an earlier one, a sign-in. Raises Refused.

        None for all others.
        """
        return None
