"""What new runs do where those of a released version did otherwise. The old way is in `histories/*.released.json`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from temporalio.client import Client

from tests.replay import courses
from tests.replay.courses import COURSES, FAR, Course, closed, played
from tests.replay.scenarios import fingerprint
from tests.replay.test_replay import HISTORIES

PATCHED = ["marker", "search attributes"]


async def commands(client: Client, course: Course) -> Sequence[str]:
    async with played(client) as scene:
        return fingerprint(list((await closed(await course(scene))).events))


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
    temporal: Client, course: Course, withdraws: str
) -> None:
    found = await commands(temporal, course)
    assert found[-3:] == [withdraws, "search attributes", "complete"]
    assert len([one for one in found if one.startswith("child")]) < len(FAR)


async def test_batch_cancelled_in_temporal_while_it_lets_go_withdraws_all(temporal: Client) -> None:
    found = await commands(temporal, courses.send_batch_cancelled_in_temporal_while_it_lets_go)
    assert found[-2:] == ["activity withdraw on hermod", "cancelled"]


async def test_worker_dies_while_its_batch_is_cancelled_the_batch_withdraws(temporal: Client) -> None:
    found = await commands(temporal, courses.send_batch_whose_worker_dies_while_it_is_cancelled)
    assert found[1:] == ["cancel activity", *PATCHED, "activity withdraw on hermod", "cancelled"]


async def test_worker_dies_as_a_line_lets_its_delivery_go_the_line_goes_on(temporal: Client) -> None:
    found = await commands(temporal, courses.ordered_endpoint_whose_worker_dies_as_it_lets_go)
    assert found[2:] == ["cancel activity", *PATCHED, "activity next_in_order on hermod", "complete"]


async def test_line_is_cancelled_in_temporal_as_it_lets_its_delivery_go_ends_as_cancelled(temporal: Client) -> None:
    found = await commands(temporal, courses.ordered_endpoint_cancelled_as_it_lets_go)
    assert found[2:] == ["cancel activity", *PATCHED, "cancelled"]


async def test_dead_letter_of_another_run_is_not_tried_again(temporal: Client) -> None:
    found = await commands(temporal, courses.process_submission_with_a_dead_letter_of_another_run)
    assert found == ["activity process_submission on submissions", *PATCHED, "search attributes", "fail"]
