"""The database is away when answers come: each of them is handed on to the next dispatch."""

from __future__ import annotations

from typing import Any

import pytest

from activities.delivery import recording
from activities.delivery.carried import Unrecorded
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
    with pytest.raises(Unrecorded) as raised:
        await bench.dispatch(BATCH, ids)
    assert {result.delivery for result in raised.value.results} == set(ids)
    assert {result.exchange.outcome for result in raised.value.results} == {"success"}
