"""What a check of the installation comes to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and where it is wrong, what to do."""

    name: str
    ok: bool
    detail: str
    advice: str | None = None


class Trouble(Exception):
    """A check has failed. `advice` says what to do."""

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(detail)
        self.advice = advice
