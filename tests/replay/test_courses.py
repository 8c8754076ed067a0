"""What new runs do where those of a released version did otherwise. The old way is in `histories/*.released.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from temporalio.client import Client

from starter.temporal.connection import DATA_CONVERTER
from tests.replay import courses
from tests.replay.courses import COURSES, FAR, Course, closed, played
from tests.replay.scenarios import fingerprint
from tests.replay.test_replay import HISTORIES

PATCHED = ["marker", "search attributes"]


async def test_what_leaves_a_batch_is_not_told_to_take_itself_over(own_temporal: Client) -> None:
    async with played(own_temporal) as scene:
        events = (await closed(await scene.batch(FAR))).events
    started = [one.start_child_workflow_execution_initiated_event_attributes for one in events]
    inputs = [json.loads(one.input.payloads[0].data) for one in started if one.workflow_id]
    assert [one["taken_from"] for one in inputs] == [None] * len(FAR)


async def commands(client: Client, course: Course) -> Sequence[str]:
    async with played(client) as scene:
        return fingerprint(list((await closed(await course(scene))).events))


@pytest.fixture
async def own_temporal(idle_temporal: str) -> Client:
    """A server where no worker of the product asks for the work of these activities."""
    return await Client.connect(idle_temporal, data_converter=DATA_CONVERTER)


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.__name__)
def test_every_course_has_a_history_of_the_released_version(course: Course) -> None:
    assert (HISTORIES / f"{course.__name__}.released.json").exists()


@pytest.mark.parametrize(
    ("course", "withdraws"),
    [
        (courses.send_batch_cancelled_while_it_lets_go, "activity withdraw on hermod"),
        (courses.deliver_webhooks_cancelled_while_it_lets_go, "activity withdraw_webhooks on hermod"),
    ],
    ids=["messages", "webhooks"],
)
async def test_batch_cancelled_while_it_lets_go_withdraws_all_and_lets_no_more_go(
    own_temporal: Client, course: Course, withdraws: str
) -> None:
    found = await commands(own_temporal, course)
    assert found[-3:] == [withdraws, "search attributes", "complete"]
    assert len([one for one in found if one.startswith("child")]) < len(FAR)


async def test_batch_cancelled_in_temporal_while_it_lets_go_withdraws_all(own_temporal: Client) -> None:
    found = await commands(own_temporal, courses.send_batch_cancelled_in_temporal_while_it_lets_go)
    assert found[-2:] == ["activity withdraw on hermod", "cancelled"]


async def test_activity_ends_as_its_batch_is_cancelled_the_batch_withdraws_what_leaves_it(own_temporal: Client) -> None:
    found = await commands(own_temporal, courses.send_batch_whose_activity_ends_as_it_is_cancelled)
    assert found[1:] == ["cancel activity", *PATCHED, "activity withdraw on hermod", "cancelled"]


async def test_worker_dies_while_its_batch_is_cancelled_the_batch_withdraws(own_temporal: Client) -> None:
    found = await commands(own_temporal, courses.send_batch_whose_worker_dies_while_it_is_cancelled)
    assert found[1:] == ["cancel activity", *PATCHED, "activity withdraw on hermod", "cancelled"]


async def test_worker_dies_as_a_line_lets_its_delivery_go_the_line_goes_on(own_temporal: Client) -> None:
    found = await commands(own_temporal, courses.ordered_endpoint_whose_worker_dies_as_it_lets_go)
    assert found[2:] == ["cancel activity", *PATCHED, "activity next_in_order on hermod", "complete"]


async def test_line_is_cancelled_in_temporal_as_it_lets_its_delivery_go_ends_as_cancelled(own_temporal: Client) -> None:
    found = await commands(own_temporal, courses.ordered_endpoint_cancelled_as_it_lets_go)
    assert found[2:] == ["cancel activity", *PATCHED, "cancelled"]


async def test_dead_letter_of_another_run_is_not_tried_again(own_temporal: Client) -> None:
    found = await commands(own_temporal, courses.process_submission_with_a_dead_letter_of_another_run)
    assert found == ["activity process_submission on submissions", *PATCHED, "search attributes", "fail"]
