"""Requests of a wave are cut off where their adapter does not keep to its deadline, and only there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from activities.notifications import requests as sending
from activities.notifications.requests import SendJob, send_all
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Guarantee, Outcome, Status
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome, OutcomeUnknown
from hermod.contracts.notifications.retries import Preset
from hermod.ports.deadline import LATE, deadline_of
from hermod.ports.notifications.ledger import Item
from hermod.ports.notifications.sender import Capability, Outgoing
from tests.unit.channels import samples

SHORT = LATE / 4


class Provider:
    """An adapter that is answered from outside, while `asked` runs, and keeps to its deadline or does not."""

    def __init__(self, asked: Callable[[], None] = lambda: None, *, keeps_time: bool = True) -> None:
        self.capability = Capability(
            provider="slow",
            title="Slow",
            channels=frozenset({Channel.EMAIL}),
            deadline=timedelta(seconds=SHORT),
            max_batch=2,
        )
        self.answer: asyncio.Future[AnyOutcome] = asyncio.get_running_loop().create_future()
        self._asked = asked
        self._deadline = SHORT if keeps_time else 3600.0

    async def send(self, message: Outgoing) -> AnyOutcome:
        return (await self.send_batch([message]))[0]

    async def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[AnyOutcome]:
        asyncio.get_running_loop().call_soon(self._asked)
        try:
            async with deadline_of(self._deadline):
                return [await self.answer] * len(messages)
        except TimeoutError:
            return [OutcomeUnknown(error_code="timeout", error="no answer in time")] * len(messages)

    def cannot_express(self, content: Any) -> str | None:
        return None

    async def aclose(self) -> None:
        return None


def item_of(outgoing: Outgoing) -> Item:
    return Item(
        id=outgoing.id,
        channel=Channel.EMAIL,
        status=Status.SENDING,
        content=outgoing.content,
        category=outgoing.category,
        guarantee=Guarantee.AT_LEAST_ONCE,
        retry=Preset.NOTIFICATION,
        requested_account=None,
        request_id=None,
        not_after=None,
        next_attempt_at=None,
        attempts=1,
        round=1,
        spent=0,
        wait_reason=None,
    )


def jobs_of(provider: Provider, *, count: int) -> list[SendJob]:
    outgoing = samples.outgoing(samples.email())
    return [
        SendJob(
            item=item_of(outgoing),
            account=samples.account("sandbox"),
            sender=provider,
            outgoing=outgoing,
            reason="",
            shared=count > 1,
        )
        for _ in range(count)
    ]


@pytest.fixture(params=[1, 2], ids=["alone", "together"])
def count(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def stand_still() -> None:
    time.sleep(3 * LATE)


async def test_answer_came_while_the_worker_stood_still_is_the_outcome(count: int) -> None:
    loop = asyncio.get_running_loop()

    def stand_still_and_get_the_answer() -> None:
        stand_still()
        loop.call_soon(provider.answer.set_result, Accepted(provider_id="p1"))

    provider = Provider(stand_still_and_get_the_answer)
    jobs = jobs_of(provider, count=count)
    await send_all(jobs, lambda: False)
    assert {job.settled().kind for job in jobs} == {Outcome.ACCEPTED}


async def test_worker_stood_still_and_no_answer_came_the_adapter_says_so(count: int) -> None:
    jobs = jobs_of(Provider(stand_still), count=count)
    await send_all(jobs, lambda: False)
    assert {job.settled().error_code for job in jobs} == {"timeout"}


async def test_adapter_does_not_keep_to_its_deadline_is_cut_off_and_blamed(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "OVERTIME", timedelta(seconds=SHORT))
    jobs = jobs_of(Provider(keeps_time=False), count=count)
    await send_all(jobs, lambda: False)
    assert {job.settled().error_code for job in jobs} == {"adapter_error"}


async def test_adapter_is_cut_off_the_requests_after_it_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "OVERTIME", timedelta(seconds=SHORT))
    providers = [Provider(keeps_time=False), Provider(), Provider(keeps_time=False), Provider()]
    for well in providers[1::2]:
        well.answer.set_result(Accepted(provider_id="p1"))
    jobs = [job for provider in providers for job in jobs_of(provider, count=1)]
    await send_all(jobs, lambda: False, at_once=1)
    assert [job.settled().error_code for job in jobs] == ["adapter_error", None, "adapter_error", None]
    assert all(job.started for job in jobs)
