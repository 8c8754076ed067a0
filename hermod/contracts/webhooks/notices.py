"""What is told about webhook endpoints that were disabled: to other endpoints, and to the tenant's owner."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from hermod.contracts.values.model import Model

ENDPOINT_DISABLED: Final = "endpoint.disabled"
"""The type of the event. An endpoint gets it only by name (`endpoint.disabled`, `endpoint.*`), never by `*`: receivers
of an application's events need not know of one another."""


class EndpointDisabled(Model):
    """The payload of an `endpoint.disabled` event."""

    endpoint_id: str
    url: str
    """Without its query, which may be secret."""
    description: str | None
    reason: str
    """`gone` (it answered 410) or `failing` (nothing has succeeded since `failing_since`)."""
    disabled_at: datetime
    failing_since: datetime | None


class NoticeReport(Model):
    """One pass: events that were stored for other endpoints, emails that were stored for owners."""

    announced: int = 0
    written: int = 0
