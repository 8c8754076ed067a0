"""From what was asked to what is stored: words in place of a template, devices in place of a contact.

All of it happens before the answer, so that what cannot be prepared is refused and not accepted.
"""

from __future__ import annotations

from hermod.contracts.messages import Submission
from hermod.storage.acceptance import Ready


class Preparer:
    """Makes submissions ready for the ledger."""

    async def prepare(self, tenant: str, asked: Submission) -> tuple[Ready, ...]:
        """The messages that this submission comes to: one, or one for each device. Raises InvalidInput."""
        return (Ready(submission=asked, content=asked.content),)
