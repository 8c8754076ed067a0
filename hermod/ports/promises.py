"""The audit of promises: what must hold of every record at every instant (docs/protocols.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol


class PromiseName(NamedTuple):
    promise: str
    kind: str
    """message, webhook, submission or event"""


@dataclass(frozen=True, slots=True)
class Violation:
    """A record that breaks a promise. `detail` is made of states and numbers, fit for a log."""

    tenant: str
    id: str
    detail: str


class PromiseAudit(Protocol):
    async def audit(
        self, now: datetime, *, since: datetime, beat: Callable[[], None] = lambda: None
    ) -> Mapping[PromiseName, Sequence[Violation]]:
        """What breaks a promise, twenty of each at the most; every promise has an entry. Raises Unavailable.

        `since`: of records that were accepted from then on; what is open is looked at whatever its age. `beat` is
        called after each promise.
        """
        ...
