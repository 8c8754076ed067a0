"""The database is away when intents or answers come: what becomes of each request is handed on to the next dispatch."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from activities.dispatch import recording
from activities.notifications.heartbeat_details import OutcomesNotPersisted
from hermod.contracts.errors import Unavailable
from tests.integration.webhooks.bench import BATCH, Bench


async def test_answer_comes_while_the_one_before_cannot_be_recorded_both_are_handed_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await bench.accept(await bench.endpoint(), 2, BATCH)
    bench.receiver.behave("ok", "slow")

    async def away(*_arguments: Any) -> set[str]:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(recording, "RECORD_WAITS", (3.0,))
    monkeypatch.setattr(bench.storage.webhook_ledger, "record", away)
    with pytest.raises(OutcomesNotPersisted) as raised:
        await bench.dispatch(BATCH, ids)
    assert {result.delivery for result in raised.value.results} == set(ids)
    assert {result.exchange.outcome for result in raised.value.results} == {"success"}


async def test_dispatch_is_cut_off_before_its_grant_is_answered_what_it_hands_on_names_the_grant(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await bench.accept(await bench.endpoint(), 2, BATCH)
    grant, granted = bench.storage.webhook_ledger.grant, asyncio.Event()

    async def unanswered(*arguments: Any) -> set[str]:
        await grant(*arguments)
        granted.set()
        return await asyncio.Future[set[str]]()

    monkeypatch.setattr(recording, "LAST_WORDS", 0.01)
    monkeypatch.setattr(bench.storage.webhook_ledger, "grant", unanswered)
    dispatch = asyncio.create_task(bench.dispatch(BATCH, ids))
    await granted.wait()
    dispatch.cancel()
    with pytest.raises(OutcomesNotPersisted) as raised:
        await dispatch
    rows = await bench.storage.database.rows(text("SELECT delivery_id, number, ends_by FROM webhook_attempts"), {})
    assert len(rows) == len(ids)
    results = raised.value.results
    assert {result.exchange.outcome for result in results} == {"not_made"}
    assert {(one.delivery, one.number, one.ends_by) for one in results} == {tuple(row) for row in rows}
