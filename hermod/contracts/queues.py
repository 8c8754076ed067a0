"""The task queues: one for workflows and their bookkeeping, one per lane for the work itself.

A lane is a queue of its own so that it can be paused, throttled and scaled without touching the others.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

WORKFLOWS: Final = "hermod"
"""Workflow tasks, and the short ledger activities that must run even while a lane is paused."""


class Lane(StrEnum):
    """An activity queue. The value is the queue's name on the server."""

    EMAIL = "email"
    SMS = "sms"
    WHATSAPP = "whatsapp"
    PUSH = "push"
    WEBHOOKS = "webhooks"
    EVENTS = "events"
    SUBMISSIONS = "submissions"
    PARTIALS = "partials"
