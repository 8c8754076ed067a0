"""What a template may cost: a count of steps that ends a rendering, however the template spends them.

A step is about a fifth of a microsecond of work. The count is of the work itself and not of time, so that a message is
taken or refused alike on a fast machine and on a slow one.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

from jinja2 import Undefined

STEPS: Final = 200_000
"""Of one rendering, all fields together: a third is an order of a thousand lines, all are some 50 ms."""

FEW_STEPS: Final = 10_000
"""What may be done while others wait: some 2 ms, and more than most messages take."""

DEEPEST: Final = 64
"""Levels of lists and objects inside each other."""


_MOST_BITS: Final = 128
"""Of a whole number: the product of any two of 64 bits."""


class TemplateFault(Exception):
    """What is wrong with a template, or with what it does. `line` is of the field's source, where it is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class OutOfSteps(TemplateFault):
    """It has used up the steps that it was given."""


class Meter:
    """Counts the steps of one rendering. Every method raises OutOfSteps when they are used up."""

    __slots__ = ("_left", "_most")

    def __init__(self, steps: int = STEPS) -> None:
        self._most = self._left = steps

    @property
    def used(self) -> int:
        return self._most - self._left

    def charge(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise OutOfSteps(f"does more than {self._most} steps; it repeats or builds too much")

    def glance(self, value: Any) -> None:
        """Charge for walking over a value once, without looking into its items."""
        if isinstance(value, str):
            self.charge(1 + (len(value) >> 6))
        elif isinstance(value, list | tuple | dict | range):
            self.charge(1 + len(value))
        else:
            self.charge(1)
            _check_plain(value)

    def weigh(self, value: Any) -> None:
        """Charge for all that a value holds, as comparing, sorting and printing it will touch.

        What is missing in it raises its own error.
        """
        level: list[Any] = [value]
        for _ in range(DEEPEST):
            below: list[Any] = []
            steps = 0
            for one in level:
                if isinstance(one, str):
                    steps += 1 + (len(one) >> 6)
                elif one is None or isinstance(one, int | float):
                    steps += 1
                elif isinstance(one, dict):
                    self.charge(1 + len(one))
                    below += one
                    below += one.values()
                elif isinstance(one, list | tuple):
                    self.charge(1 + len(one))
                    below += one
                elif isinstance(one, Undefined):
                    str(one)
                else:
                    self.glance(one)
            self.charge(steps)
            if not below:
                return
            level = below
        raise TemplateFault(f"has lists and objects more than {DEEPEST} levels deep")


def check_number(value: float) -> None:
    """A number that JSON could hold, and that takes no time to write. Raises TemplateFault."""
    if isinstance(value, int):
        if value.bit_length() > _MOST_BITS:
            raise TemplateFault("comes to a number that is too large")
    elif not isfinite(value):
        raise TemplateFault("comes to something that is no number, or too large for one")


def _check_plain(value: object) -> None:
    """Only what JSON knows is a value; a macro, a loop or a namespace is none."""
    if not (value is None or isinstance(value, int | float | Undefined)):
        raise TemplateFault(f"a {type(value).__name__.lower()} is no value")
