"""What providers report back: an HTTP call in, events in our own words out. A reader checks and translates, no more.

A reader never decides what an event means for a message or an address; `hermod.domain.receipts` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from hermod.contracts.accounts import Account
from hermod.contracts.receipts import Happening


class Forged(Exception):
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
    kind: Happening
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
class Reading:
    """The events of one call, in its order, and the answer to it. A mere handshake has no events."""

    events: tuple[Event, ...] = ()
    answer: Answer = Answer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a reader may use beside the call: the time, and a guarded GET over https (Amazon's certificates)."""

    now: datetime
    fetch: Callable[[str], Awaitable[bytes]]
    """Raises Unavailable where the address does not answer, Forged where it must not be asked."""


class ReceiptReader(Protocol):
    async def read(self, call: Callback, account: Account, desk: Desk) -> Reading:
        """Check the call's signature on its raw bytes, then read it. Raises Forged and Unreadable.

        Secrets come from the account's credentials. Without the one that the check needs, every call is Forged. An
        event whose word is not known is `Happening.UNKNOWN`, never an error.
        """
        ...
