"""A look at the records of one ledger: what one workflow comes to is no matter of the others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio.service import RPCError, RPCStatusCode

from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.delivery import SweepReport
from hermod.storage.operations.orphaned_records import Orphan
from hermod.telemetry import SWEEP_FAILURES
from starter.housekeeping.sweeping import Incomplete, LedgerSweeper, Sweepers

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IDS = [f"r{number}" for number in range(30)]


def orphan(number: str) -> Orphan:
    return Orphan(
        tenant="t",
        id=number,
        workflow_id=f"w-{number}",
        request_id=None,
        status="queued",
        attempts=0,
        updated_at=NOW,
        overdue=True,
    )


class Ledger:
    """Records with a workflow each, which Temporal does not know any more. Those of `broken` cannot be looked at."""

    def __init__(
        self, unstarted: Sequence[str], stalled: Sequence[str], broken: Sequence[str], error: Exception
    ) -> None:
        self._unstarted = [orphan(one) for one in unstarted]
        self._stalled = [orphan(one) for one in stalled]
        self._broken = broken
        self._error = error
        self.begun: list[str] = []

    def now(self) -> datetime:
        return NOW

    async def unstarted(self, *_: Any, **__: Any) -> list[Orphan]:
        return self._unstarted

    async def stalled(self, *_: Any, **__: Any) -> list[Orphan]:
        return self._stalled

    async def touch(self, *_: Any) -> None: ...

    async def transfer(self, *_: Any) -> set[str]:
        return set()

    def own(self, records: Sequence[Orphan]) -> str:
        return f"w-{records[0].id}"

    async def start(self, records: Sequence[Orphan]) -> bool:
        if records[0].id in self._broken:
            raise self._error
        self.begun += [one.id for one in records]
        return True

    def get_workflow_handle(self, workflow_id: str) -> Any:
        async def describe() -> Any:
            if workflow_id.removeprefix("w-") in self._broken:
                raise self._error
            raise RPCError("no such workflow", RPCStatusCode.NOT_FOUND, b"")

        return SimpleNamespace(describe=describe)

    @property
    def sweeper(self) -> LedgerSweeper[Orphan]:
        world: Any = self
        return LedgerSweeper(world, world, world, world)


@pytest.mark.parametrize("error", [TimeoutError(), KeyError("a bug")], ids=["no answer", "bug"])
@pytest.mark.parametrize("broken", ["r0", "r7", "r29"])
async def test_one_workflow_cannot_be_looked_at_all_others_are_begun_again(broken: str, error: Exception) -> None:
    ledger = Ledger([], IDS, [broken], error)
    with pytest.raises(Incomplete) as raised:
        _ = await ledger.sweeper.sweep()
    assert raised.value.report == SweepReport(restarted=29)
    assert sorted(ledger.begun) == sorted(set(IDS) - {broken})


async def test_one_workflow_cannot_be_started_what_stands_still_is_looked_at_all_the_same() -> None:
    ledger = Ledger(IDS[:3], IDS[10:], ["r1"], Unavailable("no answer"))
    with pytest.raises(Incomplete) as raised:
        _ = await ledger.sweeper.sweep()
    assert raised.value.report == SweepReport(started=2, restarted=20)


async def test_sweep_of_all_kinds_with_a_workflow_that_cannot_be_looked_at_counts_the_others_and_names_the_kind() -> (
    None
):
    before = SWEEP_FAILURES.labels("incomplete")._value.get()
    ledger = Ledger([], IDS, ["r3"], TimeoutError())
    assert await Sweepers({"incomplete": ledger.sweeper}).sweep() == SweepReport(restarted=29, failed=("incomplete",))
    assert SWEEP_FAILURES.labels("incomplete")._value.get() == before + 1


async def test_no_workflow_can_be_looked_at_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        _ = await Sweepers({"away": Ledger([], IDS, IDS, TimeoutError()).sweeper}).sweep()


async def test_workflow_that_cannot_be_looked_at_is_named_in_the_log() -> None:
    with capture_logs() as logs, pytest.raises(Incomplete):
        _ = await Ledger([], IDS, ["r3"], TimeoutError()).sweeper.sweep()
    assert [(one["event"], one["workflow_id"]) for one in logs] == [("workflow_not_swept", "w-r3")]
