"""Work that is counted while it is done, and ends when it has come to too much.

Steps and not time: the same is taken or refused on a fast machine and on a slow one, and a test can count them.
"""

from __future__ import annotations

from hermod.contracts.errors import InvalidInput


class TooManySteps(InvalidInput):
    """It takes more steps than it was given. Who gave it few, so as not to keep others waiting, may give it more."""


class Steps:
    """So many steps. `charge` raises TooManySteps for `field` when they are used up."""

    __slots__ = ("_field", "_left", "_most", "_what")

    def __init__(self, most: int, *, field: str, what: str) -> None:
        self._most = self._left = most
        self._field = field
        self._what = what

    @property
    def used(self) -> int:
        return self._most - self._left

    def spend(self, steps: int) -> None:
        """For work that is done; it is the next charge that raises."""
        self._left -= steps

    def charge(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooManySteps.of(self._field, f"{self._what} more than {self._most} steps")
