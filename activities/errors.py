"""The one translator from our errors to Temporal's. Types are names that operators filter by; they never change.

Texts are codes and counts, never addresses, contents or a provider's words: a failure is part of the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from hermod.contracts.errors import NewerRecord
from hermod.contracts.notifications.delivery import WaitDetails

WAITING: Final = "Waiting"
"""Nothing is wrong with us: the next attempt is due later. Shown in the Web UI as a pending activity."""
NEXT_ATTEMPT_LATER: Final = "NextAttemptLater"
"""As `Waiting`, of one record whose next attempt is more than a minute away. A workflow that waits for it by a timer of
its own names this as what ends its activity; for any other one it is a wait like the others."""
HANDED_BACK: Final = "HandedBack"
"""The worker is being shut down; another goes on at once."""
LEDGER_UNAVAILABLE: Final = "LedgerUnavailable"
"""The database is away. Requests that were made are carried along."""
DEAD_LETTER: Final = "DeadLetter"
"""Given up. Reset the workflow, or retry the message, to begin again."""

CLICKHOUSE_UNAVAILABLE: Final = "ClickHouseUnavailable"
"""ClickHouse is away. What is to go there waits in the database."""
BACKEND_AWAY: Final = "BackendAway"
"""The user's own backend did not take a submission now."""
NO_SUCH_RECORD: Final = "NoSuchRecord"
"""What the workflow is about is gone: with its tenant, or in a failover to a copy that did not have it yet."""
NEWER_RECORD: Final = "NewerRecord"
"""A later version has stored the record, and this worker does not know all its fields."""
SUPERSEDED: Final = "Superseded"
"""Another attempt has taken its place, and goes on."""

RECORDS_MISSING: Final = "RecordsMissing"
"""The database does not have the records that the workflow is about: a standby that was behind has taken over, or they
were dropped."""
RESTORE: Final = (
    "restore from a backup and reset the workflow, or look into the application's own log for what it handed over"
)
"""What an operator can do where a record is gone."""
PROMISES_BROKEN: Final = "PromisesBroken"
"""The audit found records that break a promise; the worker's log names them (`promise_broken`)."""

EXPECTED: Final = frozenset({
    WAITING, NEXT_ATTEMPT_LATER, HANDED_BACK, LEDGER_UNAVAILABLE, DEAD_LETTER, CLICKHOUSE_UNAVAILABLE, BACKEND_AWAY,
    NO_SUCH_RECORD, SUPERSEDED, NEWER_RECORD, RECORDS_MISSING, PROMISES_BROKEN,
})  # fmt: skip
"""What is foreseen: its text says all there is to say, and the place in the program nothing."""

LEDGER_WAIT: Final = timedelta(seconds=5)
AT_ONCE: Final = timedelta(milliseconds=1)
"""Zero would mean "as the retry policy says"."""


def is_expected(error: BaseException) -> bool:
    return isinstance(error, ApplicationError) and error.type in EXPECTED


def waiting(
    open_messages: int, delay: timedelta, reason: str | None, *details: WaitDetails, later: bool = False
) -> ApplicationError:
    """`later`: the workflow may wait for it by itself."""
    text = f"{open_messages} open, next attempt in {delay.total_seconds():.1f} s"
    return ApplicationError(
        f"{text}; {reason}" if reason else text,
        *details,
        type=NEXT_ATTEMPT_LATER if later else WAITING,
        next_retry_delay=max(delay, AT_ONCE),
        category=ApplicationErrorCategory.BENIGN,
    )


def handed_back(open_messages: int) -> ApplicationError:
    return ApplicationError(
        f"the worker is being shut down; {open_messages} open messages go to another",
        type=HANDED_BACK,
        next_retry_delay=AT_ONCE,
        category=ApplicationErrorCategory.BENIGN,
    )


def ledger_unavailable(unrecorded: Sequence[Any] = ()) -> ApplicationError:
    carried = f"; {len(unrecorded)} outcomes wait to be recorded" if unrecorded else ""
    return ApplicationError(
        f"the database does not answer{carried}", type=LEDGER_UNAVAILABLE, next_retry_delay=LEDGER_WAIT
    )


def clickhouse_unavailable(reason: str) -> ApplicationError:
    return ApplicationError(reason, type=CLICKHOUSE_UNAVAILABLE)


def backend_away(code: str, delay: timedelta) -> ApplicationError:
    return ApplicationError(
        f"{code}, next attempt in {delay.total_seconds():.1f} s", type=BACKEND_AWAY, next_retry_delay=delay
    )


def newer_record(error: NewerRecord) -> ApplicationError:
    """The next try may find a worker of the later version."""
    return ApplicationError(str(error), type=NEWER_RECORD)


def superseded() -> ApplicationError:
    return ApplicationError("another attempt has taken its place", type=SUPERSEDED)


def no_such_record() -> ApplicationError:
    text = f"the record is not in the database: it has lost it, or it was dropped; {RESTORE}"
    return ApplicationError(text, type=NO_SUCH_RECORD, non_retryable=True)
