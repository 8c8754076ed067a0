"""What a provider may report about a message, in our own words, and how a message's story shows it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from hermod.contracts.values.model import Model


class ReceiptEventType(StrEnum):
    ACCEPTED = "accepted"
    """The provider has it, or has passed it on: it was sent, which also settles an unknown outcome."""
    DELIVERED = "delivered"
    """The recipient's side took it: mail server, handset, app."""
    READ = "read"
    OPENED = "opened"
    CLICKED = "clicked"
    DEFERRED = "deferred"
    """The provider is still trying."""
    BOUNCED = "bounced"
    """The address does not work and never will."""
    SOFT_BOUNCED = "soft_bounced"
    """Not delivered, for a reason that may pass: a full mailbox, a blocked sender, a phone that was off."""
    FAILED = "failed"
    """Not delivered, through no fault of the address: the content, the sender, the provider."""
    SUPPRESSED = "suppressed"
    """Not delivered, because the provider keeps the address on a list of its own."""
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"
    UNREGISTERED = "unregistered"
    """The app is gone from the device, so its token is worth nothing."""
    INBOUND = "inbound"
    """Not about a message of ours: somebody sent one to us."""
    UNKNOWN = "unknown"
    """A word that we do not know. Kept, and changes nothing."""


class ReceiptView(Model):
    """One report of a provider about a message."""

    at: datetime
    kind: ReceiptEventType
    word: str
    code: str | None
    text: str | None


class SettleReport(Model):
    """What one look at the reports that wait for their message came to."""

    settled: int = 0
    waiting: int = 0
    """Their message is under way, or not to be found yet."""
    given_up: int = 0
    """Nobody knows their message after a day."""
