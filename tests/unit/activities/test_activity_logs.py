"""What the log and the history say of an activity's try: one line with its names, a traceback only where nobody has
foreseen the error, and never the text of such an error, which may quote a record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities import errors, heartbeat
from activities.interceptor import FailureInterceptor
from hermod.clock import SystemClock
from hermod.contracts.errors import MaybeStored, NewerRecord, Unavailable
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.delivery import DeliveryInput
from hermod.contracts.webhooks.deliveries import WebhookOrder
from hermod.telemetry import ACTIVITY_FAILURES, get_logger, log_names
from starter.temporal.connection import DATA_CONVERTER
from tests.support.log_lines import logged

ORDER = DeliveryInput(tenant="shop", channel=Channel.EMAIL, messages=("msg_1",))
EXPECTED = [
    errors.waiting(1, timedelta(seconds=2), "main: transient 451"),
    errors.handed_back(1),
    errors.ledger_unavailable(),
    errors.clickhouse_unavailable("ClickHouse does not answer"),
    errors.backend_away("backend_503", timedelta(seconds=2)),
    errors.superseded(),
    errors.newer_record(NewerRecord("message msg_1 has fields")),
    errors.no_such_record(),
]
PERSON = "ada@example.com"
Lines = Callable[[], list[dict[str, Any]]]


class NoneFail:
    async def note(self, workflow: str, activity: str, error: str, attempts: int, now: datetime) -> None:
        return None


class Work(ActivityInboundInterceptor):
    """An activity that ends as it is told."""

    def __init__(self, end: Callable[[], Any]) -> None:
        self._end = end

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return self._end()


@pytest.fixture
def lines() -> Iterator[Lines]:
    with logged() as text:
        yield lambda: [json.loads(line) for line in text().splitlines() if line.startswith("{")]


async def tried(end: Callable[[], Any], order: Any = ORDER, queue: str = "email") -> None:
    """A try of an activity that ends so, and what the SDK logs of it."""

    async def run() -> None:
        watched = FailureInterceptor(NoneFail(), SystemClock()).intercept_activity(Work(end))
        try:
            await watched.execute_activity(ExecuteActivityInput(tried, (order,), None, {}))
        except BaseException:  # noqa: BLE001 - as the SDK does
            extra = {"__temporal_error_identifier": "ActivityFailure"}
            activity.logger.warning("Completing activity as failed", exc_info=True, extra=extra)

    environment = ActivityEnvironment()
    environment.info = replace(environment.info, task_queue=queue, workflow_id="message/shop/msg_1")
    await asyncio.create_task(environment.run(run))


def raising(error: BaseException) -> Callable[[], Any]:
    def end() -> Any:
        raise error

    return end


def unforeseen() -> Any:
    try:
        raise ValueError(f"{PERSON} is no number")
    except ValueError as error:
        raise KeyError(PERSON) from error


async def test_line_of_a_try_carries_lane_channel_tenant_duration_and_workflow(lines: Lines) -> None:
    await tried(lambda: None)
    (line,) = lines()
    names = {"lane": "email", "channel": "email", "tenant": "shop", "workflow_id": "message/shop/msg_1", "attempt": 1}
    assert line.items() >= names.items()
    assert line["event"] == "activity_done"
    assert isinstance(line["duration_ms"], int)


async def test_lines_within_a_try_carry_its_names(lines: Lines) -> None:
    def end() -> None:
        get_logger("x").info("something")
        log_names(sent=3)

    await tried(end, WebhookOrder(tenant="shop", deliveries=("whd_1",)), "webhooks")
    within, last = lines()
    assert {"event": "something", "lane": "webhooks", "channel": "webhook", "tenant": "shop"}.items() <= within.items()
    assert last["sent"] == 3


async def test_names_of_a_try_end_with_it(lines: Lines) -> None:
    await tried(lambda: None)
    get_logger("x").info("after")
    assert "tenant" not in lines()[-1]


@pytest.mark.parametrize("error", EXPECTED, ids=lambda error: error.type)
async def test_expected_failure_is_one_line_without_a_traceback(lines: Lines, error: ApplicationError) -> None:
    await tried(raising(error))
    (line,) = lines()
    assert "exception" not in line
    assert (line["error"], line["reason"]) == (error.type, error.message)
    assert line["event"] == ("activity_waits" if error.type in ("Waiting", "HandedBack") else "activity_failed")
    assert line["lane"] == "email"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unavailable("the database does not answer"), errors.LEDGER_UNAVAILABLE),
        (MaybeStored("it went away"), errors.LEDGER_UNAVAILABLE),
        (NewerRecord("a field is not known"), errors.NEWER_RECORD),
    ],
    ids=["away", "away-in-mid-call", "newer"],
)
async def test_error_of_ours_is_an_expected_failure_of_any_activity(lines: Lines, error: Exception, kind: str) -> None:
    await tried(raising(error))
    (line,) = lines()
    assert (line["event"], line["error"]) == ("activity_failed", kind)
    assert "exception" not in line


@pytest.mark.parametrize("timeout", [None, timedelta(seconds=10)], ids=["not-asked-for", "asked-for"])
async def test_activity_beats_where_its_server_expects_that(
    monkeypatch: pytest.MonkeyPatch, timeout: timedelta | None
) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0)
    beats: list[tuple[Any, ...]] = []

    async def run() -> None:
        async with heartbeat.heartbeating() as own:
            assert heartbeat.current_heartbeat() is own
            for _ in range(20):
                await asyncio.sleep(0)

    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(details)
    environment.info = replace(environment.info, heartbeat_timeout=timeout)
    await environment.run(run)
    assert bool(beats) is (timeout is not None)


async def test_unexpected_failure_is_one_line_with_the_traceback_of_every_cause_and_without_their_texts(
    lines: Lines,
) -> None:
    before = ACTIVITY_FAILURES.labels("unknown", "KeyError")._value.get()
    await tried(unforeseen)
    (line,) = lines()
    assert (line["event"], line["level"], line["error"]) == ("activity_failed", "error", "KeyError")
    assert line["exception"].count("Traceback") == 2
    assert "in unforeseen" in line["exception"]
    assert "ValueError" in line["exception"]
    assert PERSON not in json.dumps(line)
    assert ACTIVITY_FAILURES.labels("unknown", "KeyError")._value.get() == before + 1


async def test_failures_of_a_group_are_all_in_the_traceback(lines: Lines) -> None:
    def end() -> None:
        raise ExceptionGroup("two", [ValueError("a"), TypeError("b")])

    await tried(end)
    (line,) = lines()
    assert "ValueError" in line["exception"]
    assert "TypeError" in line["exception"]


async def test_cancelled_try_is_one_line_without_a_traceback(lines: Lines) -> None:
    await tried(raising(asyncio.CancelledError()))
    (line,) = lines()
    assert line["event"] == "activity_cancelled"
    assert "exception" not in line


async def test_what_fails_before_the_interceptor_is_still_logged_by_the_sdk(lines: Lines) -> None:
    activity.logger.warning("Completing activity as failed", extra={"__temporal_error_identifier": "ActivityFailure"})
    (line,) = lines()
    assert line["event"] == "Completing activity as failed"


async def failure(end: Callable[[], Any]) -> Failure:
    found = Failure()
    try:
        end()
    except Exception as error:  # noqa: BLE001 - whatever it is
        await DATA_CONVERTER.encode_failure(error, found)
    return found


@pytest.mark.parametrize("error", EXPECTED, ids=lambda error: error.type)
async def test_expected_failure_has_no_stack_trace_in_the_history(error: ApplicationError) -> None:
    found = await failure(raising(error))
    assert found.message == error.message
    assert found.application_failure_info.type == error.type
    assert not found.stack_trace


async def test_unexpected_failure_has_its_stack_trace_in_the_history_and_no_text() -> None:
    found = await failure(unforeseen)
    assert "in unforeseen" in found.stack_trace
    assert found.application_failure_info.type == "KeyError"
    assert PERSON not in str(found)
    assert found.message.startswith("KeyError: ")
    assert found.cause.message.startswith("ValueError: ")
