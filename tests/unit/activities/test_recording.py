"""A grant is not cut off by a cancellation, and what nobody knows the end of is handed on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from activities.dispatch import recording
from activities.dispatch.recording import finish_despite_cancellation
from activities.notifications.heartbeat_details import OutcomesNotPersisted


async def cancelled_in_the_middle_of(grant: Coroutine[Any, Any, None], begun: asyncio.Event) -> None:
    task = asyncio.create_task(finish_despite_cancellation(grant, lambda: ["never made"]))
    await begun.wait()
    task.cancel()
    await asyncio.wait_for(task, 5)


async def test_cancelled_and_the_grant_is_answered_the_cancellation_goes_on() -> None:
    begun, granted = asyncio.Event(), []

    async def grant() -> None:
        begun.set()
        await asyncio.sleep(0.01)
        granted.append("job")

    with pytest.raises(asyncio.CancelledError):
        await cancelled_in_the_middle_of(grant(), begun)
    assert granted == ["job"]


async def test_cancelled_and_the_grant_gets_no_answer_it_is_handed_on() -> None:
    begun = asyncio.Event()

    async def grant() -> None:
        begun.set()
        await asyncio.sleep(0.01)
        raise OutcomesNotPersisted(["by the grant itself"])

    with pytest.raises(OutcomesNotPersisted) as raised:
        await cancelled_in_the_middle_of(grant(), begun)
    assert raised.value.results == ["by the grant itself"]


async def test_cancelled_and_the_grant_takes_too_long_it_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "LAST_WORDS", 0.01)
    begun, cut_off = asyncio.Event(), asyncio.Event()

    async def grant() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut_off.set()
            raise

    with pytest.raises(OutcomesNotPersisted) as raised:
        await cancelled_in_the_middle_of(grant(), begun)
    assert raised.value.results == ["never made"]
    await asyncio.wait_for(cut_off.wait(), 5)


async def test_grant_is_cut_off_with_that_of_another_wave_it_is_handed_on() -> None:
    """Waves of webhooks go in one statement, which belongs to the one that asked first."""

    async def grant() -> None:
        raise asyncio.CancelledError

    with pytest.raises(OutcomesNotPersisted) as raised:
        await finish_despite_cancellation(grant(), lambda: ["never made"])
    assert raised.value.results == ["never made"]
