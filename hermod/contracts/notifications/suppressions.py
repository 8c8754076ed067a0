"""Addresses that get no more messages: why, how far it reaches, and for how long."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from hermod.contracts.notifications.content import Channel, Line
from hermod.contracts.notifications.messages import Category
from hermod.contracts.values.model import Model
from hermod.contracts.values.scalars import Instant


class Reason(StrEnum):
    HARD_BOUNCE = "hard_bounce"
    SOFT_BOUNCES = "soft_bounces"
    """Too many in a row; expires by itself."""
    COMPLAINT = "complaint"
    UNSUBSCRIBED = "unsubscribed"
    STOP = "stop"
    """The recipient answered STOP, or the carrier says so."""
    UNREGISTERED = "unregistered"
    LISTED = "listed"
    """The provider keeps the address on a list of its own."""
    MANUAL = "manual"


class SuppressionInput(Model):
    """`POST /v1/suppressions`. Without a channel it holds for all of them, without a category for both."""

    address: Annotated[Line, Field(min_length=1, max_length=998)]
    channel: Channel | None = None
    category: Category | None = None
    reason: Reason = Reason.MANUAL
    detail: Annotated[Line, Field(max_length=300)] | None = None
    expires_at: Instant | None = None


class SuppressionView(Model):
    """One suppression. `address` is null where the person was erased and only the fingerprint is kept."""

    id: str
    address: str | None
    channel: Channel | None
    category: Category | None
    reason: Reason
    source: str
    """Who said so: an API key's id, or an account's name."""
    detail: str | None
    created_at: datetime
    expires_at: datetime | None


class SuppressionPage(Model):
    items: tuple[SuppressionView, ...]
    next_cursor: str | None
