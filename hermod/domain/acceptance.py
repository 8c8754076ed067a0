"""What a message may not be, beyond its shape: checked before anything is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from hermod.contracts.content import Channel
from hermod.contracts.errors import FieldError
from hermod.contracts.messages import Submission

FARTHEST: Final = timedelta(days=366)
"""How far ahead a message can be scheduled."""


def faults(submission: Submission, accounts: Mapping[str, Channel], now: datetime) -> Iterator[FieldError]:
    """Why this message cannot be taken; nothing where it can. `accounts`: the tenant's, by name."""
    options, channel = submission.options, submission.content.channel
    if options.not_after is not None and options.not_after <= now:
        yield FieldError("not_after", "is in the past")
    if options.send_at is not None and options.send_at > now + FARTHEST:
        yield FieldError("send_at", f"is more than {FARTHEST.days} days away")
    named = options.provider_account
    if named is not None and named not in accounts:
        yield FieldError("provider_account", f"there is no account {named}")
    elif named is not None and accounts[named] is not channel:
        yield FieldError("provider_account", f"{named} is for {accounts[named].value}, not for {channel.value}")
    elif channel not in accounts.values():
        yield FieldError("channel", f"no provider account for {channel.value} yet; add one under /v1/provider-accounts")
