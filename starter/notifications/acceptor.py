"""Taking one message in, from the checks to the receipt: for callers of `Hermod.send` and for what forms send alike."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from hermod.bootstrap import Storage
from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.messages import Receipt, Submission
from hermod.domain.acceptance import faults, may_be_out_of_date
from hermod.ports.clock import Clock
from starter.notifications.coalescer import Coalescer
from starter.notifications.rendering import Preparer


@dataclass(frozen=True, slots=True)
class MessageAcceptor:
    storage: Storage
    preparer: Preparer
    coalescer: Coalescer
    clock: Clock
    local_domains: Collection[str] = ()
    """Of `HERMOD_LOCAL_EMAIL_DOMAINS`."""

    async def take(self, tenant: str, asked: Submission, request_id: str | None) -> Receipt:
        """Store the message and have it started.

        Raises InvalidInput and Unavailable, with nothing stored, and MaybeStored.
        """
        try:
            await self.check(tenant, asked)
            readies = await self.preparer.prepare(tenant, asked)
        except InvalidInput:
            # What was right when the key was first used may be wrong by now: the answer stays the same.
            known = await self.storage.acceptance.repeated(tenant, asked)
            if isinstance(known, Receipt):
                return known
            raise
        return await self.coalescer.take(tenant, readies, request_id)

    async def check(self, tenant: str, asked: Submission) -> None:
        """Raises InvalidInput for what no provider account of the tenant could ever send."""
        accounts, now = self.storage.accounts, self.clock.now()
        wrong = tuple(faults(asked, await accounts.names(tenant), now, self.local_domains))
        if may_be_out_of_date(wrong):
            # Before saying no: an account may have been put since the list was read.
            wrong = tuple(faults(asked, await accounts.names(tenant, fresh=True), now, self.local_domains))
        if wrong:
            raise InvalidInput(wrong)
