"""What an SMTP server's refusal means: one table, read from top to bottom, first match counts.

A refusal is a definite word, so nothing here is ever unknown: a server that answers 4xx or 5xx has not taken the
message. A connection that ends without a word is judged in `smtp.py`, by how far the conversation had come.

The stage matters as much as the code: 550 to MAIL is about the sender, to RCPT about the recipient, to DATA about the
content. The enhanced status code (RFC 3463) narrows it down where there is one. Where its first digit contradicts the
basic code, the basic code decides whether to try again (Google documents a 421 5.7.32), and no recipient is blamed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final

from hermod.channels.redaction import one_line
from hermod.contracts.notifications.outcomes import (
    AccountHalted,
    AnyOutcome,
    Fault,
    MessageRejected,
    RecipientRejected,
    Throttled,
    Transient,
)

GREYLISTED: Final = 300.0
"""Seconds to stay away from a server that says "try again later" as a matter of policy."""

NEXT_DAY: Final = 24 * 3600.0


class Stage(StrEnum):
    """How far a conversation has come. Up to RCPT, the server provably has no message of ours."""

    CONNECT = "connect"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"


class Verdict(Enum):
    THROTTLED = auto()
    TRANSIENT = auto()
    RECIPIENT = auto()
    """There is no such address."""
    UNREACHABLE = auto()
    """Refused because of the recipient, which is not to say that there is none."""
    MESSAGE = auto()
    SENDER = auto()
    """The account's fault where it is the account's own sender, else the message's."""
    ACCOUNT = auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """Applies where the reply code is one of `codes` (all of a class for a single digit) at one of `stages`.

    `enhanced`: pattern for the whole enhanced code; "" for a reply without one, None for any or none.
    """

    codes: str
    stages: frozenset[Stage]
    enhanced: str | None
    verdict: Verdict
    wait: float | None = None

    def matches(self, stage: Stage, code: int, enhanced: str) -> bool:
        return (
            stage in self.stages
            and str(code).startswith(tuple(self.codes.split()))
            and (self.enhanced is None or re.fullmatch(self.enhanced, enhanced) is not None)
        )


_ALL: Final = frozenset(Stage)
_OPENING: Final = frozenset({Stage.CONNECT, Stage.STARTTLS, Stage.AUTH})
_ENVELOPE: Final = frozenset({Stage.MAIL, Stage.RCPT, Stage.DATA})
_MAIL: Final = frozenset({Stage.MAIL})
_RCPT: Final = frozenset({Stage.RCPT})
_RECEIVING: Final = frozenset({Stage.RCPT, Stage.DATA})

RULES: Final = (
    # 421 closes the connection: the server is busy, or sets us a rate (4.7.0 at Yahoo, 4.7.28 at Google). With another
    # 4.7.x it is a policy about this mail (authentication, TLS, DMARC) and must not stop the account.
    Rule("421", _ALL, r"[45]\.7\.(?!(0|28)$)\d+", Verdict.TRANSIENT),
    Rule("421", _ALL, None, Verdict.THROTTLED),
    # The host refuses us before any mail is spoken of: TLS or login away for the moment, or settings that are wrong.
    Rule("4", _OPENING, None, Verdict.TRANSIENT),
    Rule("5", _OPENING, None, Verdict.ACCOUNT),
    Rule("530 534 535 538", _ENVELOPE, None, Verdict.ACCOUNT),
    # SES words its sending rate and daily quota as 454 within the envelope.
    Rule("454", _ENVELOPE, None, Verdict.THROTTLED),
    Rule("450 451", _ENVELOPE, r"4\.7\.\d+|4\.2\.0", Verdict.TRANSIENT, GREYLISTED),
    Rule("4", _ENVELOPE, None, Verdict.TRANSIENT),
    # Google's daily sending limit: permanent by its code, over by tomorrow.
    Rule("550", _ENVELOPE, r"5\.4\.5", Verdict.THROTTLED, NEXT_DAY),
    # Mailbox full; and 552 to RCPT is how older servers say "too many recipients" (RFC 5321, 4.5.3.1.10).
    Rule("552", _RECEIVING, r"5\.2\.2", Verdict.TRANSIENT),
    Rule("552", _RCPT, r"(?!5\.3\.4$).*", Verdict.TRANSIENT),
    Rule("552", _ENVELOPE, None, Verdict.MESSAGE),
    # A mailbox that is disabled or, by another code, full: nothing for this message, and nothing about the next one.
    Rule("5", _RECEIVING, r"5\.2\.(1|2)", Verdict.UNREACHABLE),
    # No such user or domain, moved away, not an address; 5.1.10 and 556 are a domain that takes no mail (RFC 7505).
    Rule("5", _RECEIVING, r"5\.1\.(1|2|3|6|10)", Verdict.RECIPIENT),
    # Policy (5.7.x) is about the message, its signature or its sender: never a reason to give up the recipient.
    Rule("550 551 553 554", _MAIL, None, Verdict.SENDER),
    Rule("551 556", _RCPT, "", Verdict.RECIPIENT),
    # Without an enhanced code, 550 and 553 are said for unknown users and for block lists alike.
    Rule("550 553", _RCPT, "", Verdict.UNREACHABLE),
    Rule("5", _ENVELOPE, None, Verdict.MESSAGE),
)

_KINDS: Final[dict[Verdict, type[Throttled | Transient | RecipientRejected | MessageRejected | AccountHalted]]] = {
    Verdict.THROTTLED: Throttled,
    Verdict.TRANSIENT: Transient,
    Verdict.RECIPIENT: RecipientRejected,
    Verdict.UNREACHABLE: RecipientRejected,
    Verdict.MESSAGE: MessageRejected,
    Verdict.ACCOUNT: AccountHalted,
}
_ENHANCED: Final = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})(?=\s|$)")


def enhanced_code(text: str) -> str:
    """The enhanced status code that a reply's text begins with, or ""."""
    found = _ENHANCED.match(text)
    return found[1] if found else ""


def verdict_of(stage: Stage, code: int, text: str) -> tuple[Verdict, float | None]:
    """What the reply means, and the seconds to wait. A reply that is no refusal at all counts as passing trouble."""
    enhanced = enhanced_code(text)
    for rule in RULES:
        if rule.matches(stage, code, enhanced):
            return rule.verdict, rule.wait
    return Verdict.TRANSIENT, None


def refusal(stage: Stage, code: int, text: str, *, own_sender: bool, secrets: Iterable[str] = ()) -> AnyOutcome:
    """The outcome of a refused message. `own_sender`: it was sent from the account's own address."""
    verdict, retry_after = verdict_of(stage, code, text)
    if verdict is Verdict.SENDER:
        verdict = Verdict.ACCOUNT if own_sender else Verdict.MESSAGE
    kind, error_code = _KINDS[verdict], enhanced_code(text) or str(code)
    error = one_line(f"{code} {text} (at {stage.upper()})", secrets)
    if kind is Throttled or kind is Transient:
        return kind(status_code=code, error_code=error_code, error=error, retry_after=retry_after)
    if kind is RecipientRejected:
        fault = Fault.UNREACHABLE if verdict is Verdict.UNREACHABLE else Fault.INVALID
        return kind(status_code=code, error_code=error_code, error=error, fault=fault)
    return kind(status_code=code, error_code=error_code, error=error)
