"""What the Web UI shows of a message's workflow: how it is found, what it waits for, and what became of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowFailureError

from hermod.contracts.ids import message_workflow
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.delivery import Story
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.outcomes import Accepted, MessageRejected, Transient
from hermod.contracts.notifications.retries import Preset
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from starter.temporal import schedules
from tests.support.hostile import Hostile
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.webhooks.product import add_endpoint, delivered
from tests.support.webhooks.product import ended as delivery_ended
from workflows.search_attributes import CHANNEL, TENANT

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")
HOUSEKEEPING = 'HermodChannel = "housekeeping"'
ALL_ELSE = "HermodTenant IS NOT NULL"
AWAY = Transient(status_code=451, error_code="greylisted")


async def result(house: ProductFixture, workflow_id: str) -> Any:
    return await house.client.get_workflow_handle(workflow_id).result()


async def failure(house: ProductFixture, workflow_id: str) -> Failure:
    """With which the workflow has failed."""
    handle = house.client.get_workflow_handle(workflow_id)
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    *_, last = (await handle.fetch_history()).events
    return last.workflow_execution_failed_event_attributes.failure


def details(told: Failure) -> Any:
    """What a failure says beside its text."""
    return json.loads(told.application_failure_info.details.payloads[0].data)


def requests(told: Any) -> list[tuple[Any, ...]]:
    """The requests that a result or a failure names, in codes."""
    codes = ("number", "account", "outcome", "status_code", "error_code")
    return [tuple(attempt.get(code) for code in codes) for attempt in told["attempts"]]


async def story(house: ProductFixture, workflow_id: str) -> Story:
    return await house.client.get_workflow_handle(workflow_id).query("story", result_type=Story)


async def events(house: ProductFixture, workflow_id: str) -> list[HistoryEvent]:
    return list((await house.client.get_workflow_handle(workflow_id).fetch_history()).events)


async def timers(house: ProductFixture, workflow_id: str) -> list[str]:
    """What the timers of a workflow say they are for."""
    started = [one for one in await events(house, workflow_id) if one.HasField("timer_started_event_attributes")]
    return [json.loads(one.user_metadata.summary.data) for one in started]


async def test_message_is_sent_at_once_its_result_says_by_whom(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    told = await result(skipping, view.workflow_id)
    (attempt,) = told.pop("attempts")
    assert told == {"counts": {"sent": 1}, "reason": "main: accepted"}
    assert attempt.keys() <= {"number", "account", "outcome", "ms", "at"}
    assert (attempt["number"], attempt["account"], attempt["outcome"]) == (1, "main", "accepted")


async def test_message_is_sent_after_retries_its_result_says_what_the_attempts_came_to(
    skipping: ProductFixture,
) -> None:
    await skipping.add_account("main")
    skipping.script("main", AWAY, AWAY, Accepted(status_code=200))
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    assert view.status is Status.SENT
    told = await result(skipping, view.workflow_id)
    assert told["reason"] == "2 × main: transient 451 greylisted, main: accepted 200"
    assert requests(told) == [
        (1, "main", "transient", 451, "greylisted"),
        (2, "main", "transient", 451, "greylisted"),
        (3, "main", "accepted", 200, None),
    ]


async def test_message_goes_by_the_next_account_its_result_names_both(skipping: ProductFixture) -> None:
    await skipping.add_account("first")
    await skipping.add_account("second", order=20)
    skipping.script("first", AWAY)
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    told = await result(skipping, view.workflow_id)
    assert told["reason"] == "first: transient 451 greylisted, second: accepted"


async def test_dead_letter_says_what_all_its_attempts_came_to_and_has_no_stack_trace(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    skipping.script("main", AWAY)
    view = await skipping.ended((await skipping.hermod.send(LETTER, retry=Preset.FALLBACK)).id)
    assert view.status is Status.FAILED
    told = await failure(skipping, view.workflow_id)
    assert told.message == f"1 of 1 given up: {len(view.attempts)} × main: transient 451 greylisted"
    assert not told.stack_trace
    made = requests(details(told))
    assert made == [(number, "main", "transient", 451, "greylisted") for number in range(1, len(view.attempts) + 1)]


async def test_batch_with_a_dead_letter_says_what_its_requests_came_to(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    skipping.script("main", Accepted(), MessageRejected(status_code=400), Accepted())
    receipt = await skipping.hermod.send_many([LETTER] * 3)
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    told = await failure(skipping, views[0].workflow_id)
    assert told.message.startswith("1 of 3 given up: ")
    assert "2 × main: accepted" in told.message
    assert "main: message_rejected 400" in told.message
    assert details(told)["outcomes"] == [
        {"account": "main", "outcome": "accepted", "count": 2},
        {"account": "main", "outcome": "message_rejected", "count": 1},
    ]
    assert details(told)["failed"] == [view.id for view in views if view.status is Status.FAILED]


async def test_activity_that_waits_says_what_the_attempts_came_to_and_has_no_stack_trace(house: ProductFixture) -> None:
    await house.add_account("off", enabled=False)
    receipt = await house.hermod.send(LETTER)
    await house.reached(receipt.id, Status.DEFERRED)

    async def pending() -> Failure | None:
        description = await house.client.get_workflow_handle(receipt.workflow_id).describe()
        activities = description.raw_description.pending_activities
        return activities[0].last_failure if activities and activities[0].last_failure.message else None

    waits = await eventually(pending)
    assert waits is not None
    assert "next attempt in" in waits.message
    assert not waits.stack_trace
    await house.hermod.cancel(receipt.id)


async def test_webhook_results_say_what_the_requests_came_to(skipping: ProductFixture) -> None:
    async with Hostile() as hostile:
        await add_endpoint(skipping, hostile.url)
        hostile.behave(*["500"] * 3, "ok")
        view = await delivered(skipping, (await skipping.hermod.emit("order.paid", {"id": 7})).deliveries[0].id)
        assert (await result(skipping, view.workflow_id))["reason"] == "3 × http_error 500, success 200"
        hostile.behave("500")
        view = await delivery_ended(skipping, (await skipping.hermod.emit("order.paid", {"id": 8})).deliveries[0].id)
        assert view.status is DeliveryStatus.FAILED
        told = await failure(skipping, view.workflow_id)
        assert told.message == "1 of 1 given up: 7 × http_error 500"
        assert not told.stack_trace
        assert requests(details(told)) == [(number, None, "http_error", 500, None) for number in range(1, 8)]
        assert await timers(skipping, view.workflow_id) == [
            f"attempt {number} after http_error 500" for number in range(3, 8)
        ]


async def test_long_wait_is_a_timer_that_names_the_attempt_and_what_the_last_one_came_to(
    skipping: ProductFixture,
) -> None:
    await skipping.add_account("main")
    skipping.script("main", AWAY, AWAY, AWAY, Accepted())
    view = await skipping.ended((await skipping.hermod.send(LETTER, retry=["2s", "10m", "3h"])).id)
    assert view.status is Status.SENT
    assert await timers(skipping, view.workflow_id) == [
        "attempt 3 after transient 451 greylisted",
        "attempt 4 after transient 451 greylisted",
    ]
    told = await result(skipping, view.workflow_id)
    assert [one[0] for one in requests(told)] == [1, 2, 3, 4]


async def test_failure_before_a_long_wait_tells_its_attempts_in_the_history(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    skipping.script("main", AWAY, Accepted())
    view = await skipping.ended((await skipping.hermod.send(LETTER, retry=["10m"])).id)
    failures = [
        one.activity_task_failed_event_attributes.failure
        for one in await events(skipping, view.workflow_id)
        if one.HasField("activity_task_failed_event_attributes")
    ]
    assert [one.application_failure_info.type for one in failures] == ["NextAttemptLater"]
    assert requests(details(failures[0])) == [(1, "main", "transient", 451, "greylisted")]
    assert not failures[0].stack_trace


async def test_story_of_an_ended_message_tells_its_attempts(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    await result(skipping, view.workflow_id)
    told = await story(skipping, view.workflow_id)
    assert (told.state, told.counts, told.waits_for) == ("ended", {"sent": 1}, None)
    assert [str(attempt) for attempt in told.attempts] == ["accepted"]


async def user_metadata(house: ProductFixture, workflow_id: str) -> tuple[str, str]:
    """The static summary and details of a workflow."""
    description = await house.client.get_workflow_handle(workflow_id).describe()
    return await description.static_summary() or "", await description.static_details() or ""


async def attributes(house: ProductFixture, workflow_id: str) -> tuple[str | None, str | None]:
    found = (await house.client.get_workflow_handle(workflow_id).describe()).typed_search_attributes
    return found.get(TENANT), found.get(CHANNEL)


async def test_workflow_names_its_priority_in_our_words_and_says_where_its_story_is(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    receipt = await skipping.hermod.send(LETTER, priority=7)
    await skipping.ended(receipt.id)
    summary, details = await user_metadata(skipping, receipt.workflow_id)
    assert summary == f"email for {skipping.hermod.tenant}, priority 7"
    assert f"hermod status {receipt.id}" in details
    assert "priority 7 of 10, which is Temporal's priority 4" in details
    assert "Reset" in details
    assert LETTER.to not in summary + details


async def test_message_that_left_its_batch_is_found_and_told_like_any_other(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    skipping.script("main", Accepted(), AWAY, AWAY, Accepted())
    receipt = await skipping.hermod.send_many([LETTER] * 2, retry=Preset.WEBHOOK, priority=7)
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    left = next(view for view in views if len(view.attempts) == 3)
    tenant = skipping.hermod.tenant
    assert left.workflow_id == message_workflow(tenant, left.id)
    assert await attributes(skipping, left.workflow_id) == (tenant, "email")
    summary, details = await user_metadata(skipping, left.workflow_id)
    assert summary == f"email for {tenant}, priority 7"
    assert f"hermod status {left.id}" in details


async def test_housekeeping_is_told_from_everything_else_by_its_channel(house: ProductFixture) -> None:
    await house.add_account("main")
    view = await house.ended((await house.hermod.send(LETTER)).id)
    await schedules.change(house.client, "devices", "run")

    async def listed(query: str) -> set[str]:
        return {one.workflow_type async for one in house.client.list_workflows(query)}

    async def kept_apart() -> bool:
        return "RemoveDeadDevices" in await listed(HOUSEKEEPING)

    assert await eventually(kept_apart)
    assert (await attributes(house, view.workflow_id))[1] == "email"
    else_listed = await listed(ALL_ELSE)
    assert "SendNotification" in else_listed
    assert not {one.workflow for one in schedules.SCHEDULES} & else_listed
