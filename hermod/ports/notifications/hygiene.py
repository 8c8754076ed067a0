"""What is learnt about addresses while sending: so that nobody writes twice to an address that does not exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.outcomes import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An address that a provider refused, and why."""

    message: str
    to: str | dict[str, Any]
    fault: Fault
    code: str | None


class AddressFeedback(Protocol):
    async def learn(
        self, tenant: str, channel: Channel, account: str, refused: Sequence[Refused], accepted: int, now: datetime
    ) -> None:
        """Take in what one wave of an account's requests says about its addresses: suppressions, dead devices.

        `accepted`: how many of the same wave were accepted; a wave that refuses everybody says more about the account
        than about the addresses. May be called twice; what is lost is learnt from the next refusal.
        """
        ...
