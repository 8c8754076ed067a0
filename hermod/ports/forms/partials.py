"""Partial submissions, as the activity behind their workflow sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from hermod.contracts.forms.forms import FormNotification, PartialRules, PartialStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialSnapshot:
    """A partial as a look found it, and what of it nobody has been told yet."""

    tenant: str
    form: str
    session: str
    revision: int
    status: PartialStatus
    data: dict[str, Any] | None
    contact: str | None
    updated_at: datetime
    """When the visitor last changed something."""
    abandoned_at: datetime | None
    abandonments: int
    """How often it was left behind; more than once where the visitor came back in between."""
    is_new: bool
    """Whether this revision has yet to be told."""
    abandonment_is_new: bool
    """Whether its last abandonment has yet to be told."""
    rules: PartialRules
    notifications: tuple[FormNotification, ...]
    """Those of the form for this moment."""
    resume_token: str

    @property
    def due_at(self) -> datetime | None:
        """When it counts as abandoned, unless something changes; None: never."""
        after = self.rules.abandon_after
        return self.updated_at + after if after is not None and self.status is PartialStatus.OPEN else None


class Partials(Protocol):
    async def look(self, tenant: str, form: str, session: str, now: datetime) -> PartialSnapshot | None:
        """See what has changed, and abandon it where its time has come. Raises Unavailable."""
        ...

    async def told(self, seen: PartialSnapshot) -> bool:
        """All that `seen` holds has been told; whether it is still so. Raises Unavailable.

        Where it is, the next change wakes the workflow; where it is not, nobody will: look again.
        """
        ...
