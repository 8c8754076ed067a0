"""What goes wrong on request: tests hand in faults, and the next requests that fit meet them, one each."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from devstack.clickhouse.engine import Statement


class FaultName(StrEnum):
    GATEWAY = "gateway"
    """Not run; a proxy's 502 in HTML, without ClickHouse's headers."""
    BUSY = "busy"
    """Not run; 503 without ClickHouse's headers."""
    CODE = "code"
    """Not run; ClickHouse's own error with the fault's `code`."""
    SLOW = "slow"
    """Run, and answered `delay` seconds later."""
    RESET = "reset"
    """Not run; the connection is reset."""
    RUN_THEN_RESET = "run_then_reset"
    """Run, but the connection is reset before the answer."""
    TRUNCATED = "truncated"
    """Run; half of the body comes, then the connection ends."""


class Fault(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FaultName
    on: str = Field("insert", pattern="^(insert|other|any)$")
    """Which statements meet it: INSERTs, all others, or any."""
    database: str | None = None
    """Only statements that go to this database, so that tests which share a front do not disturb each other."""
    times: int = Field(1, ge=1, le=1_000_000)
    delay: float = Field(0.0, ge=0, le=600)
    code: int = Field(252, ge=1)
    """252 is TOO_MANY_PARTS."""


class Faults:
    """The faults that wait for requests, in order."""

    def __init__(self) -> None:
        self._waiting: deque[list[Any]] = deque()

    def add(self, fault: Fault) -> None:
        self._waiting.append([fault, fault.times])

    def clear(self) -> None:
        self._waiting.clear()

    def meet(self, statement: Statement) -> Fault | None:
        """The fault of this request, if there is one for it."""
        kind = "insert" if statement.text.lstrip()[:6].lower() == b"insert" else "other"
        for entry in self._waiting:
            fault: Fault = entry[0]
            if fault.on in (kind, "any") and fault.database in (None, statement.database):
                entry[1] -= 1
                if entry[1] == 0:
                    self._waiting.remove(entry)
                return fault
        return None


NOT_RUN: Final = frozenset({FaultName.GATEWAY, FaultName.BUSY, FaultName.CODE, FaultName.RESET})
