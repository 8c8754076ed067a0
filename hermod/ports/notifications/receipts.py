"""What providers report back: an HTTP call in, events in our own words out. A reader checks and translates, no more.

A reader never decides what an event means for a message or an address; `hermod.domain.notifications.receipts` does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable
from urllib.parse import parse_qsl, urlsplit

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.receipts import ReceiptEventType, SettleReport
from hermod.contracts.tenants.accounts import Account


class SignatureInvalid(Exception):
    """The call is not from the provider, too old, or not for this account. Nothing of it may be stored.

    The text says which check failed, for our own log; the caller only learns that it was refused.
    """


class Unreadable(Exception):
    """The call is from the provider, and its body is nothing that we can read. Nothing of it is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A call as it came in. `body` is what was signed: nothing has decoded it."""

    method: str
    url: str
    """As the provider called it: our public address, the path, and the query as written."""
    headers: Mapping[str, str]
    """By lower-case name. A name that came twice has both values, joined by `, `."""
    body: bytes

    def query(self) -> dict[str, str]:
        """The query's parameters, decoded; of a repeated one the last. Blank ones count."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to one message, or one message that somebody sent us."""

    id: str
    """The same each time the provider tells it, another one for every other event of this account; 200 characters."""
    kind: ReceiptEventType
    word: str
    """The vendor's own word for it, as in its documentation: `bounce/blocked`."""
    at: datetime | None = None
    """When it happened, by the provider's clock."""
    message_id: str | None = None
    """Ours, where it came back."""
    provider_message_id: str | None = None
    address: str | None = None
    """Whose address, number or token it concerns; of an inbound message, its sender."""
    code: str | None = None
    text: str | None = None
    """One line for people, without addresses (`hermod.channels.redaction.one_line`)."""
    words: str | None = None
    """What an inbound message says. Looked at for STOP, START and HELP, and not stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the provider gets to read, where it wants more than a 200."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedReceipt:
    """The events of one call, in its order, and the answer to it. A mere handshake has no events."""

    events: tuple[Event, ...] = ()
    answer: Answer = Answer()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptContext:
    """What a reader may use beside the call: the time, and a guarded GET over https (Amazon's certificates)."""

    now: datetime
    fetch: Callable[[str], Awaitable[bytes]]
    """Raises Unavailable where the address does not answer, SignatureInvalid where it must not be asked."""


class ReceiptReader(Protocol):
    async def read(self, call: Callback, account: Account, desk: ReceiptContext) -> ParsedReceipt:
        """Check the call's signature on its raw bytes, then read it. Raises SignatureInvalid and Unreadable.

        Secrets come from the account's credentials. Without the one that the check needs, every call is
        SignatureInvalid. An event whose word is not known is `ReceiptEventType.UNKNOWN`, never an error.
        """
        ...


@runtime_checkable
class ReceiptPoller(Protocol):
    """What a sender is besides, where its provider calls nobody and has to be asked for its receipts."""

    async def poll(self, ids: Sequence[str]) -> Sequence[Event]:
        """The receipts of these messages, by the provider's own ids; of some there may be none yet.

        Any number of ids. A message has one receipt, and the id of the event is that of the message at the provider.
        Raises Unavailable where the provider gives no answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitingReceipt:
    """Messages of one account that were sent and have no receipt, by the provider's ids."""

    tenant: str
    account: str
    theirs: tuple[str, ...]


class UnansweredMessages(Protocol):
    def pages(self, now: datetime) -> AsyncIterator[Sequence[AwaitingReceipt]]:
        """Those whose provider has to be asked, and has had the time to know; some thousand a page."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """How many events of a call were new, and how many had been told before."""

    new: int
    repeated: int


class ReceiptStore(Protocol):
    async def take(self, tenant: str, account: str, channel: Channel, events: Sequence[Event], now: datetime) -> Taken:
        """Keep what an account's provider reports, and act on it: messages move on, addresses are suppressed.

        The same event may come as often as it likes. Raises Unavailable, with nothing kept, and MaybeStored.
        """
        ...

    async def settle(self, now: datetime) -> SettleReport:
        """Look again at reports whose message was under way or not known when they came."""
        ...
