"""Requests under way come to their end whatever fails beside them; only a cancellation cuts them off."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from activities.notifications.account_sender import TaskScope
from activities.notifications.heartbeat_details import OutcomesNotPersisted
from hermod.contracts.errors import Unavailable


async def fail_beside(request: Coroutine[Any, Any, None], error: Exception | None = None) -> None:
    async with TaskScope() as requests:
        requests.begin(request)
        raise error or Unavailable("the database does not answer")


async def test_body_fails_requests_under_way_end_and_it_is_raised() -> None:
    ended = []

    async def request() -> None:
        await asyncio.sleep(0.01)
        ended.append("answered")

    with pytest.raises(Unavailable):
        await fail_beside(request())
    assert ended == ["answered"]


async def test_body_fails_what_a_request_could_not_record_goes_before() -> None:
    async def request() -> None:
        await asyncio.sleep(0.01)
        raise OutcomesNotPersisted(["outcome"])

    with pytest.raises(OutcomesNotPersisted) as raised:
        await fail_beside(request())
    assert raised.value.results == ["outcome"]


async def test_body_and_a_request_could_not_record_both_are_handed_on() -> None:
    async def request() -> None:
        await asyncio.sleep(0.01)
        raise OutcomesNotPersisted(["outcome"])

    with pytest.raises(OutcomesNotPersisted) as raised:
        await fail_beside(request(), OutcomesNotPersisted(["never made"]))
    assert raised.value.results == ["never made", "outcome"]


async def cancelled_with_a_request(raised: type[BaseException], *, instead: BaseException | None = None) -> Any:
    """Cancel a body, which raises `instead`: what comes of it, and whether its request under way was cut off."""
    begun, cut_off = asyncio.Event(), []

    async def request() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut_off.append("interrupted")
            raise

    async def work() -> None:
        async with TaskScope() as requests:
            requests.begin(request())
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if instead is None:
                    raise
                raise instead from None

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(raised) as came:
        await asyncio.wait_for(task, 5)
    return came.value, cut_off


async def test_body_is_cancelled_and_has_something_to_hand_on_requests_under_way_are_cut_off() -> None:
    error, cut_off = await cancelled_with_a_request(OutcomesNotPersisted, instead=OutcomesNotPersisted(["never made"]))
    assert (cut_off, error.results) == (["interrupted"], ["never made"])


async def test_body_is_cancelled_requests_under_way_are() -> None:
    _, cut_off = await cancelled_with_a_request(asyncio.CancelledError)
    assert cut_off == ["interrupted"]
