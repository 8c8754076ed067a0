"""Where an exchange is, and where its time goes.

waiting      for a free connection
dns          the name is looked up
connect      the TCP handshake
tls          the TLS handshake
sending      from here on, some of the request may have left
first_byte   all of it has left
body         the head of the answer has come
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Final

WAITING: Final = 0
DNS: Final = 1
CONNECT: Final = 2
TLS: Final = 3
SENDING: Final = 4
FIRST_BYTE: Final = 5
BODY: Final = 6


class Timing:
    """The clock of one exchange. Each stage lasts until the next one that was reached, the last one until the end."""

    __slots__ = ("_marks", "address", "stage", "started")

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.stage = WAITING
        """The one that was reached last."""
        self.address: str | None = None
        """The address that was dialled, or that of the connection that was used again."""
        self._marks: list[tuple[int, float]] = []

    @property
    def nothing_left(self) -> bool:
        """Whether not a byte of the request has left."""
        return self.stage < SENDING

    def begin(self, stage: int) -> None:
        """Only what comes later counts: a stage is not gone back to."""
        if stage > self.stage:
            self.stage = stage
            self._marks.append((stage, time.perf_counter()))

    def milliseconds(self) -> int:
        return round((time.perf_counter() - self.started) * 1000)

    def took(self) -> dict[int, float]:
        """Milliseconds of each stage that was reached."""
        limits = pairwise((*self._marks, (-1, time.perf_counter())))
        return {stage: round((end - begun) * 1000, 2) for (stage, begun), (_, end) in limits}
