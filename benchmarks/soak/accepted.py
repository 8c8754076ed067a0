"""What the application was told to be accepted: the ids that the product answers for."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Accepted:
    messages: set[str] = field(default_factory=set)
    at_most_once: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    """Messages whose cancellation was answered with 202."""
    retried: set[str] = field(default_factory=set)
    """Dead letters that an operator began again, messages and deliveries."""
    deliveries: set[str] = field(default_factory=set)
    submissions: dict[str, str | None] = field(default_factory=dict)
    """Their sessions, where they have one."""
    sessions: dict[str, int] = field(default_factory=dict)
    """The newest revision of every partial submission."""
    events: set[str] = field(default_factory=set)
    """By the caller's own `event_id`."""

    def counts(self) -> dict[str, int]:
        return {
            "messages": len(self.messages),
            "webhook deliveries": len(self.deliveries),
            "submissions": len(self.submissions),
            "partial submissions": len(self.sessions),
            "analytics events": len(self.events),
        }
