"""A sweep over all kinds of records: what one of them comes to is no matter of the others."""

from __future__ import annotations

import pytest

from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.delivery import SweepReport
from hermod.telemetry import SWEEP_FAILURES
from starter.housekeeping.sweep_table import REPLAYS, WAITING_WEBHOOKS
from starter.housekeeping.sweep_table import Sweep as Row
from starter.housekeeping.sweeping import Sweepers


class Sweep:
    """One kind's sweeper: it finds something, or fails."""

    def __init__(self, outcome: SweepReport | Exception) -> None:
        self._outcome = outcome

    async def sweep(self) -> SweepReport:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


def failures(kind: str) -> float:
    return SWEEP_FAILURES.labels(kind)._value.get()


async def test_sweep_of_all_kinds_finds_something_reports_the_sum() -> None:
    found = Sweepers(
        {
            "a": Sweep(SweepReport(started=1, buried=2)),
            "b": Sweep(SweepReport(started=3, restarted=4)),
            "c": Sweep(SweepReport(restarted=5)),
        }
    )
    assert await found.sweep() == SweepReport(started=4, restarted=9, buried=2)


@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("a status that nobody knows")], ids=["away", "bug"])
async def test_sweep_of_one_kind_fails_the_others_are_swept_and_the_kind_is_named(error: Exception) -> None:
    before = failures("one_kind"), failures("another_kind")
    found = Sweepers(
        {
            "one_kind": Sweep(error),
            "b": Sweep(SweepReport(started=3)),
            "another_kind": Sweep(error),
            "d": Sweep(SweepReport(restarted=5)),
        }
    )
    assert await found.sweep() == SweepReport(started=3, restarted=5, failed=("one_kind", "another_kind"))
    assert (failures("one_kind"), failures("another_kind")) == (before[0] + 1, before[1] + 1)


async def test_sweep_finds_every_server_away_is_unavailable() -> None:
    away = Sweep(Unavailable("the database does not answer"))
    with pytest.raises(Unavailable):
        await Sweepers({"a": away, "b": away, "c": away}).sweep()


async def test_sweep_of_every_kind_fails_in_different_ways_reports_them_all() -> None:
    away, broken = Sweep(Unavailable("away")), Sweep(KeyError("x"))
    assert await Sweepers({"a": away, "b": broken}).sweep() == SweepReport(failed=("a", "b"))


@pytest.mark.parametrize("row", [WAITING_WEBHOOKS, REPLAYS], ids=["side by side", "one by one"])
async def test_some_of_what_was_found_cannot_be_woken_names_the_others(row: Row) -> None:
    async def wake(number: int) -> bool:
        return number % 3 != 0

    assert await row.wake(wake, range(7)) == [1, 2, 4, 5]


async def test_waking_one_fails_the_others_are_woken_and_it_is_raised() -> None:
    tried: list[int] = []

    async def wake(number: int) -> bool:
        tried.append(number)
        if number == 0:
            raise Unavailable("away")
        return True

    with pytest.raises(Unavailable):
        await REPLAYS.wake(wake, range(3))
    assert tried == [0, 1, 2]
