"""Logs and metrics. Logs are JSON lines with ids, never addresses, contents or secrets; metrics have no ids at all."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final

import orjson
import structlog
from prometheus_client import Counter, Gauge, Histogram

_FORBIDDEN: Final = frozenset({"to", "recipient", "body", "text", "html", "subject", "credentials", "authorization"})
"""Field names that carry personal data or secrets; a log call that passes one is a mistake, and it is masked."""
_IN_CALLBACK: Final = "Exception in callback"

ACCEPTED = Counter("hermod_messages_accepted_total", "Messages stored", ["channel"])
ATTEMPTS = Counter("hermod_attempts_total", "Requests to providers", ["channel", "provider", "outcome"])
ATTEMPT_SECONDS = Histogram(
    "hermod_attempt_seconds",
    "Time of one request to a provider",
    ["provider"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
FINISHED = Counter("hermod_messages_finished_total", "Messages that reached an end", ["channel", "status"])
UNRECORDED = Counter("hermod_outcomes_unrecorded_total", "Outcomes that had to wait for the database")
RECEIPTS = Counter("hermod_receipts_total", "Events that providers reported", ["channel", "provider", "kind"])
SUBMISSIONS = Counter("hermod_submissions_total", "Submissions of forms, by what came of the call", ["outcome"])
SAVES = Counter("hermod_submission_saves_total", "Requests to the user's own backend", ["outcome"])
ANNOUNCED = Counter("hermod_form_announcements_total", "Moments of submissions and partials that were told", ["moment"])
PAYMENT_EVENTS = Counter("hermod_payment_events_total", "Calls of payment providers, by what they came to", ["result"])
RECORDS_MISSING = Counter("hermod_records_missing_total", "Records that a running workflow could not find", ["kind"])
UNREADABLE = Counter("hermod_records_unreadable_total", "Records that cannot be read as they are stored", ["kind"])
STARTS = Counter("hermod_workflow_starts_total", "Workflow starts by the starter", ["workflow", "result"])
ACTIVITY_FAILURES = Counter(
    "hermod_activity_failures_total", "Activities that failed, by the class of their error", ["activity", "error"]
)
SWEEP_FAILURES = Counter(
    "hermod_sweep_failures_total", "Kinds of records of which one sweep could not look after all", ["kind"]
)
INSERTS = Counter("hermod_clickhouse_inserts_total", "Inserts into ClickHouse", ["table", "result"])
INSERTED_ROWS = Counter("hermod_clickhouse_rows_total", "Rows that ClickHouse has answered for", ["table"])
INSERT_SECONDS = Histogram(
    "hermod_clickhouse_insert_seconds",
    "Time of one insert",
    ["table"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90),
)
EVENTS = Counter("hermod_events_total", "Analytics events that were handed over", ["result"])
EVENTS_REFUSED = Counter("hermod_events_refused_total", "Rows that ClickHouse cannot take, set aside", ["table"])
BACKLOG_RECORDS = Gauge("hermod_backlog_records", "Records that were accepted and nobody has begun", ["lane"])
BACKLOG_OLDEST = Gauge("hermod_backlog_oldest_seconds", "How long the oldest of them waits", ["lane"])
PROMISE_VIOLATIONS = Counter(
    "hermod_promise_violations_total", "Records that an audit found to break a promise", ["promise", "kind"]
)
IN_FLIGHT = Gauge("hermod_requests_in_flight", "Requests to providers that wait for an answer")


def _mask(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for name in _FORBIDDEN.intersection(event):
        event[name] = "[masked]"
    return event


def _as_json(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def configure_logging(level: str, form: str = "json") -> None:
    """Once per process: structlog and the standard library's loggers, as lines on standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _mask,
        # Also of what libraries log: the text of an error may quote a record, and a pretty traceback shows values.
        structlog.processors.ExceptionRenderer(lambda given: traceback_of(given[1])),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=_as_json)
        if form == "json"
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("httpx", "httpcore", "aiohttp.access", "uvicorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("asyncio").addFilter(_without_values)


def _without_values(record: logging.LogRecord) -> bool:
    """asyncio's words without the task, its error and the callback that follow them, which are told with their values;
    the traceback says where it was."""
    record.msg, record.args = re.split(r"\n| <|\(", record.getMessage(), maxsplit=1)[0], ()
    if record.msg.startswith(_IN_CALLBACK):
        record.msg = _IN_CALLBACK
    return True


def fault(error: BaseException) -> dict[str, str]:
    """An error that nobody has foreseen, for a line of the log: its class, and where it came from. Never its text."""
    return {"error": type(error).__name__, "exception": traceback_of(error)}


def log_names(**names: object) -> None:
    """Put names into every line of the log that the present task, or one that it begins, writes from now on."""
    structlog.contextvars.bind_contextvars(**names)


def traceback_of(error: BaseException) -> str:
    """Where an error came from, with its causes and those it is a group of: classes and places, never their texts,
    which may quote a record."""
    return "\n".join(
        f"Traceback (most recent call last):\n{''.join(traceback.format_tb(one.__traceback__))}{type(one).__qualname__}"
        for one in _with_causes(error, set())
    )


def _with_causes(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    """The first that went wrong first, each once: somebody may have made one the cause of its own cause."""
    seen.add(id(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for one in (cause, *parts):
        if one is not None and id(one) not in seen:
            yield from _with_causes(one, seen)
    yield error


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
