"""What forms need beside their own tables: telling the world, and the user's own backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from hermod.contracts.forms.forms import FormMoment, FormNotification


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A moment of a submission or a partial, to be told once, however often this is repeated."""

    tenant: str
    moment: FormMoment
    reference: str
    """What happened to: `sub_…`, or `{form}.{session}`. With the moment (and `turn`) it makes all ids."""
    turn: str = ""
    """Tells moments apart that come more than once, such as refunds or revisions."""
    form: str
    at: datetime
    payload: Mapping[str, Any]
    """Of the webhook and, without `data`, of the analytics event."""
    scope: Mapping[str, Any] = field(default_factory=dict)
    """What the expressions of notifications see: `data`, `payment`, `resume_url` and so on."""
    webhooks: bool = False
    notifications: Sequence[FormNotification] = ()
    session: str | None = None
    contact: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Announced:
    """What came of it. `refused` are notifications that could not be made, by their place, with the reason."""

    deliveries: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    refused: tuple[tuple[int, str], ...] = ()


class Announcer(Protocol):
    """Hands a moment over to webhooks, messages, analytics and the journey."""

    async def announce(self, told: Announcement) -> Announced:
        """Returns when all of it is stored. Raises Unavailable; a repeat stores nothing twice."""
        ...
