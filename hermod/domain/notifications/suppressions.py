"""Which suppression stands where two are about the same address. The storage's statement reads the order from here."""

from __future__ import annotations

from typing import Final

from hermod.contracts.notifications.suppressions import Reason

STRENGTH: Final = (
    Reason.SOFT_BOUNCES,
    Reason.LISTED,
    Reason.UNREGISTERED,
    Reason.HARD_BOUNCE,
    Reason.UNSUBSCRIBED,
    Reason.STOP,
    Reason.COMPLAINT,
    Reason.MANUAL,
)
"""Weakest first. What a machine concluded gives way to what the recipient asked for, and that to an operator's word:
START lifts a STOP, and must not lift what an operator put there. One that lasts always beats one that expires."""

LIFTED_BY_RECIPIENT: Final = frozenset({Reason.UNSUBSCRIBED, Reason.STOP})
"""What a recipient may take back. A complaint may not be: providers hold it against the sender for good."""
