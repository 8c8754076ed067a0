"""Every row of what a mail server's refusal means, at the stage where it was said."""

from __future__ import annotations

import pytest

from hermod.channels.email.smtp.replies import RULES, Stage, enhanced_code, refusal, verdict_of
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Fault, RecipientRejected, Throttled, Transient

THROTTLED, TRANSIENT = Outcome.THROTTLED, Outcome.TRANSIENT
RECIPIENT, MESSAGE, HALTED = Outcome.RECIPIENT_REJECTED, Outcome.MESSAGE_REJECTED, Outcome.ACCOUNT_HALTED
CONNECT, STARTTLS, AUTH, MAIL, RCPT, DATA = Stage

TABLE = [
    (CONNECT, 421, "too many connections", THROTTLED),
    (CONNECT, 450, "try later", TRANSIENT),
    (CONNECT, 554, "no SMTP service here", HALTED),
    (CONNECT, 521, "host does not accept mail", HALTED),
    (STARTTLS, 454, "4.7.0 TLS not available", TRANSIENT),
    (STARTTLS, 502, "5.5.1 not implemented", HALTED),
    (AUTH, 454, "4.7.0 temporary authentication failure", TRANSIENT),
    (AUTH, 535, "5.7.8 authentication failed", HALTED),
    (AUTH, 534, "5.7.9 mechanism too weak", HALTED),
    (AUTH, 538, "5.7.11 encryption required", HALTED),
    (AUTH, 504, "unrecognized type", HALTED),
    (AUTH, 421, "4.7.0 too many login attempts", THROTTLED),
    (MAIL, 421, "4.7.28 unusual rate", THROTTLED),
    (MAIL, 421, "4.3.2 closing", THROTTLED),
    (MAIL, 421, "closing", THROTTLED),
    (DATA, 421, "4.7.26 unauthenticated", TRANSIENT),
    (RCPT, 421, "4.7.0 unexpected volume", THROTTLED),
    (DATA, 421, "5.7.32 alignment", TRANSIENT),
    (MAIL, 530, "5.7.0 authentication required", HALTED),
    (MAIL, 550, "5.7.1 sender not allowed", HALTED),
    (MAIL, 553, "5.1.8 bad sender", HALTED),
    (MAIL, 554, "relaying denied", HALTED),
    (MAIL, 552, "5.3.4 too large", MESSAGE),
    (MAIL, 451, "4.3.0 local error", TRANSIENT),
    (MAIL, 452, "4.3.1 no storage", TRANSIENT),
    (MAIL, 501, "5.5.4 syntax", MESSAGE),
    (MAIL, 555, "parameters not recognised", MESSAGE),
    (RCPT, 450, "4.2.1 mailbox busy", TRANSIENT),
    (RCPT, 451, "4.7.1 greylisted", TRANSIENT),
    (RCPT, 450, "4.2.0 greylisted", TRANSIENT),
    (RCPT, 452, "4.2.2 mailbox full", TRANSIENT),
    (RCPT, 452, "4.5.3 too many recipients", TRANSIENT),
    (RCPT, 454, "Throttling failure: Maximum sending rate exceeded.", THROTTLED),
    (DATA, 454, "Throttling failure: Daily message quota exceeded.", THROTTLED),
    (RCPT, 530, "authentication required", HALTED),
    (RCPT, 550, "5.1.1 no such user", RECIPIENT),
    (RCPT, 550, "5.1.2 no such domain", RECIPIENT),
    (RCPT, 550, "5.1.10 null MX", RECIPIENT),
    (RCPT, 556, "domain takes no mail", RECIPIENT),
    (RCPT, 553, "5.1.3 not an address", RECIPIENT),
    (RCPT, 551, "5.1.6 moved", RECIPIENT),
    (RCPT, 550, "no such user here", RECIPIENT),
    (RCPT, 551, "user not local", RECIPIENT),
    (RCPT, 553, "mailbox name not allowed", RECIPIENT),
    (RCPT, 550, "5.7.1 policy", MESSAGE),
    (RCPT, 554, "5.7.1 relay access denied", MESSAGE),
    (RCPT, 550, "5.2.1 mailbox disabled", RECIPIENT),
    (RCPT, 550, "5.2.2 mailbox full", RECIPIENT),
    (DATA, 554, "5.2.2 mailbox full", RECIPIENT),
    (RCPT, 550, "4.1.1 contradicts itself", MESSAGE),
    (RCPT, 550, "5.4.5 daily sending limit", THROTTLED),
    (RCPT, 552, "5.2.2 mailbox full", TRANSIENT),
    (RCPT, 552, "too many recipients", TRANSIENT),
    (RCPT, 552, "5.3.4 too large", MESSAGE),
    (RCPT, 503, "bad sequence", MESSAGE),
    (DATA, 550, "5.1.1 no such user", RECIPIENT),
    (DATA, 550, "5.7.26 unauthenticated", MESSAGE),
    (DATA, 550, "5.7.515 bulk sender", MESSAGE),
    (DATA, 550, "spam", MESSAGE),
    (DATA, 550, "5.4.5 daily sending limit", THROTTLED),
    (DATA, 552, "5.2.2 mailbox full", TRANSIENT),
    (DATA, 552, "5.3.4 too large", MESSAGE),
    (DATA, 552, "too large", MESSAGE),
    (DATA, 554, "5.6.0 malformed", MESSAGE),
    (DATA, 554, "transaction failed", MESSAGE),
    (DATA, 451, "4.3.0 local error", TRANSIENT),
    (DATA, 452, "4.3.1 no storage", TRANSIENT),
    (RCPT, 354, "nonsense", TRANSIENT),
]


@pytest.mark.parametrize(("stage", "code", "text", "kind"), TABLE)
def test_refusal_is_read_by_stage_code_and_enhanced_code(stage: Stage, code: int, text: str, kind: Outcome) -> None:
    outcome = refusal(stage, code, text, own_sender=True)
    assert outcome.kind is kind
    assert outcome.status_code == code
    assert outcome.error == f"{code} {text} (at {stage.upper()})"


def test_refusal_table_has_a_case_for_every_rule() -> None:
    hit = set()
    for stage, code, text, _ in TABLE:
        hit.add(next((rule for rule in RULES if rule.matches(stage, code, enhanced_code(text))), None))
    assert set(RULES) <= hit


@pytest.mark.parametrize(
    ("stage", "code", "text", "fault"),
    [
        (RCPT, 550, "5.1.1 no such user", Fault.INVALID),
        (DATA, 550, "5.1.1 no such user", Fault.INVALID),
        (RCPT, 550, "5.1.2 no such domain", Fault.INVALID),
        (RCPT, 553, "5.1.3 not an address", Fault.INVALID),
        (RCPT, 551, "5.1.6 moved", Fault.INVALID),
        (RCPT, 550, "5.1.10 null MX", Fault.INVALID),
        (RCPT, 551, "user not local", Fault.INVALID),
        (RCPT, 556, "domain takes no mail", Fault.INVALID),
        (RCPT, 550, "5.2.1 mailbox disabled", Fault.UNREACHABLE),
        (RCPT, 550, "5.2.2 mailbox full", Fault.UNREACHABLE),
        (RCPT, 550, "no such user here", Fault.UNREACHABLE),
        (RCPT, 550, "your address is on a block list", Fault.UNREACHABLE),
        (RCPT, 553, "mailbox name not allowed", Fault.UNREACHABLE),
    ],
)
def test_refusal_is_held_against_the_address_only_where_there_is_none(
    stage: Stage, code: int, text: str, fault: Fault
) -> None:
    outcome = refusal(stage, code, text, own_sender=True)
    assert isinstance(outcome, RecipientRejected)
    assert outcome.fault is fault


@pytest.mark.parametrize("stage", [MAIL, RCPT, DATA])
@pytest.mark.parametrize("code", [550, 551, 553, 554])
@pytest.mark.parametrize("number", [0, 1, 23, 25, 26, 27, 509, 515])
def test_refusal_by_policy_is_never_held_against_the_address(stage: Stage, code: int, number: int) -> None:
    assert refusal(stage, code, f"5.7.{number} no", own_sender=False).kind is MESSAGE


@pytest.mark.parametrize(
    ("stage", "code", "text", "seconds"),
    [
        (RCPT, 451, "4.7.1 greylisted", 300.0),
        (RCPT, 450, "4.2.0 greylisted", 300.0),
        (RCPT, 450, "4.2.1 busy", None),
        (DATA, 451, "4.3.0 local error", None),
    ],
)
def test_refusal_of_a_greylist_asks_for_five_minutes(stage: Stage, code: int, text: str, seconds: float | None) -> None:
    outcome = refusal(stage, code, text, own_sender=True)
    assert isinstance(outcome, Transient)
    assert outcome.retry_after == seconds


def test_refusal_by_daily_limit_rests_the_account_for_a_day() -> None:
    outcome = refusal(DATA, 550, "5.4.5 Daily user sending limit exceeded", own_sender=True)
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 86_400.0


def test_refusal_of_the_messages_own_sender_spares_the_account() -> None:
    assert refusal(MAIL, 550, "5.7.1 no", own_sender=False).kind is MESSAGE


@pytest.mark.parametrize(
    ("text", "code"),
    [("5.1.1 x", "5.1.1"), ("4.7.28", "4.7.28"), ("5.1.1: x", ""), ("3.1.1 x", ""), ("x 5.1.1", ""), ("", "")],
)
def test_enhanced_code_stands_at_the_beginning(text: str, code: str) -> None:
    assert enhanced_code(text) == code


def test_refusal_names_the_most_specific_code() -> None:
    assert refusal(RCPT, 550, "5.1.1 no such user", own_sender=True).error_code == "5.1.1"
    assert refusal(RCPT, 550, "no such user", own_sender=True).error_code == "550"


def test_refusal_shows_neither_recipient_nor_credentials() -> None:
    outcome = refusal(
        AUTH, 535, "5.7.8 <ada@example.com> s3cret-pass\nis wrong", own_sender=True, secrets=["s3cret-pass"]
    )
    assert outcome.error == "535 5.7.8 <[address]> [credential] is wrong (at AUTH)"


@pytest.mark.parametrize("stage", Stage)
def test_refusal_without_enhanced_code_is_final_where_its_class_says_so(stage: Stage) -> None:
    for code in range(400, 600):
        verdict, _ = verdict_of(stage, code, "")
        passing = verdict.name in ("THROTTLED", "TRANSIENT")
        assert passing == (code < 500 or (stage is RCPT and code == 552)), code
