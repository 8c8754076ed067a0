"""Recipients that always misbehave, so that every outcome can be seen without touching the fault API.

Email: the local part, at any domain, with or without a `+tag` (`throttled+42@example.com`). Push tokens through the
sandbox provider: the word, alone or before a colon (`throttled:device-7`). Phone numbers: Twilio's own test numbers
(twilio.com/docs/iam/test-credentials) with their error codes, and a row of ours from +15005550010 on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devstack.sandbox.fault import Fault, FaultName


@dataclass(slots=True, frozen=True)
class Magic:
    """One behaviour and the recipients that show it."""

    fault: Fault
    does: str
    """For the page."""
    word: str | None = None
    number: str | None = None
    turns: int | None = None
    """So many requests to the recipient fail, the next one passes, and so on in turn; None: all fail."""


MAGIC: Final = (
    Magic(
        Fault(FaultName.THROTTLE, retry_after=1),
        "429 with Retry-After: 1, twice; the third request is accepted",
        word="throttled",
        number="+15005550010",
        turns=2,
    ),
    Magic(
        Fault(FaultName.ERROR_503),
        "503, twice; the third request is accepted",
        word="flaky",
        number="+15005550011",
        turns=2,
    ),
    Magic(Fault(FaultName.ERROR_503), "503, always", word="down", number="+15005550012"),
    Magic(Fault(FaultName.SLOW), "accepted after 3 seconds", word="slow", number="+15005550013"),
    Magic(
        Fault(FaultName.ACCEPT_THEN_TIMEOUT),
        "accepted, but the answer takes a minute: the outcome is unknown",
        word="timeout",
        number="+15005550014",
    ),
    Magic(
        Fault(FaultName.RESET),
        "connection reset before the message is stored: unknown to the sender, in truth not sent",
        word="reset",
        number="+15005550015",
    ),
    Magic(
        Fault(FaultName.ACCEPT_THEN_RESET),
        "accepted, then the connection is reset: unknown to the sender, in truth sent",
        word="lost",
        number="+15005550016",
    ),
    Magic(Fault(FaultName.REJECTED_RECIPIENT), "the recipient is refused", word="bounced"),
    Magic(Fault(FaultName.REJECTED_MESSAGE), "the message is refused", word="rejected"),
    Magic(
        Fault(FaultName.REJECTED_RECIPIENT, code=21211),
        "refused: not a valid number (Twilio 21211)",
        number="+15005550001",
    ),
    Magic(
        Fault(FaultName.REJECTED_MESSAGE, code=21612),
        "refused: no route to this number (Twilio 21612)",
        number="+15005550002",
    ),
    Magic(
        Fault(FaultName.REJECTED_MESSAGE, code=21408),
        "refused: region not enabled for the account (Twilio 21408)",
        number="+15005550003",
    ),
    Magic(
        Fault(FaultName.REJECTED_RECIPIENT, code=21610),
        "refused: has replied STOP (Twilio 21610)",
        number="+15005550004",
    ),
    Magic(
        Fault(FaultName.REJECTED_RECIPIENT, code=21614),
        "refused: not a mobile number (Twilio 21614)",
        number="+15005550009",
    ),
)

_BY_HANDLE: Final = {handle: magic for magic in MAGIC for handle in (magic.word, magic.number) if handle}


def magic_of(recipient: str) -> Magic | None:
    """The behaviour of an address, number or token, or None for one that behaves."""
    if recipient.startswith("+"):
        return _BY_HANDLE.get(recipient)
    local, at, _ = recipient.partition("@")
    word = local.partition("+")[0] if at else local.partition(":")[0]
    return _BY_HANDLE.get(word.lower())
