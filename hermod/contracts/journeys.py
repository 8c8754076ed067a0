"""A visitor's way, from the first partial to the last receipt, as one list by time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from hermod.contracts.values.model import Model


class JourneyStep(Model):
    at: datetime
    kind: str
    """`form.partial`, `form.abandoned`, `message.sent`, `submission.completed`, `submission.paid` …"""
    reference: str | None = None
    """The id of the record: `sub_…`, `msg_…`, `evt_…`, or the session of a partial."""
    form: str | None = None
    detail: dict[str, Any] = Field(default_factory=dict)
    """Codes, amounts and ids; never what somebody entered."""


class JourneyView(Model):
    subject: str
    contacts: tuple[str, ...]
    sessions: tuple[str, ...]
    steps: tuple[JourneyStep, ...]
    truncated: bool = False
    """Whether older steps were left out."""
