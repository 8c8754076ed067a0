"""The steps of a start as the person at the terminal sees them: live with their times, or plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

_WIDTH = 26


class Steps:
    """Several steps may run at once. Use as a context: the live display is there while it is open."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            TextColumn("[dim]{task.fields[took]}[/]"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step, from the beginning to the end of the block."""
        task = self._live.add_task(f"{name:<{_WIDTH}}", total=1, took="")
        begun = time.monotonic()
        try:
            yield
        except BaseException:
            self._live.update(task, took="[red]not done[/]")
            raise
        took = f"{time.monotonic() - begun:.1f} s"
        self._live.update(task, completed=1, took=took)
        if not self._console.is_terminal:
            say(self._console, f"  {name:<{_WIDTH}} {took}")


def say(console: Console, text: str) -> None:
    """Text as it is: never wrapped, never read as markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
