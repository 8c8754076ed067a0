"""What a message may not be, beyond its shape: checked before anything is stored."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import Channel, Email
from hermod.contracts.notifications.messages import Submission
from hermod.contracts.values.addresses import local_domain_fault

FARTHEST: Final = timedelta(days=366)
"""How far ahead a message can be scheduled."""


def faults(
    submission: Submission, accounts: Mapping[str, Channel], now: datetime, local_domains: Collection[str] = ()
) -> Iterator[FieldError]:
    """Why this message cannot be taken; nothing where it can.

    `accounts`: the tenant's, by name. `local_domains`: those not of the public internet that mail may go to.
    """
    options, channel = submission.options, submission.content.channel
    if options.not_after is not None and options.not_after <= now:
        yield FieldError("not_after", "is in the past")
    if options.send_at is not None and options.send_at > now + FARTHEST:
        yield FieldError("send_at", f"is more than {FARTHEST.days} days away")
    if isinstance(submission.content, Email):
        for field, address in _addresses(submission.content):
            if fault := local_domain_fault(address, local_domains):
                yield FieldError(field, fault)
    named = options.provider_account
    if named is not None and named not in accounts:
        yield FieldError("provider_account", f"there is no account {named}")
    elif named is not None and accounts[named] is not channel:
        yield FieldError("provider_account", f"{named} is for {accounts[named].value}, not for {channel.value}")
    elif channel not in accounts.values():
        yield FieldError("channel", f"no provider account for {channel.value} yet; add one under /v1/provider-accounts")


def may_be_out_of_date(found: Collection[FieldError]) -> bool:
    """Whether another look at the accounts could change the answer."""
    return any(one.field in ("provider_account", "channel") for one in found)


def _addresses(email: Email) -> Iterator[tuple[str, str]]:
    """Every address of a mail, with the name of its field."""
    yield "to", email.to
    if email.from_ is not None:
        yield "from", email.from_
    if isinstance(email.reply_to, str):
        yield "reply_to", email.reply_to
    for name, addresses in (("reply_to", email.reply_to), ("cc", email.cc), ("bcc", email.bcc)):
        if addresses and isinstance(addresses, tuple):
            yield from ((f"{name}.{place}", address) for place, address in enumerate(addresses))
