"""How a command answers: text and tables for people, JSON for programs.

Answers go to standard output, everything else to standard error. Text from outside is printed without markup.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import orjson
import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

OUT: Final = Console(highlight=False, markup=False, emoji=False)
ERR: Final = Console(stderr=True, highlight=False, markup=False, emoji=False)

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]

_COLOURS: Final[Mapping[str, str]] = {
    "sent": "green",
    "delivered": "green",
    "failed": "red",
    "bounced": "red",
    "complained": "red",
    "unknown": "yellow",
    "retrying": "yellow",
    "form.abandoned": "yellow",
    "form.recovered": "green",
    "submission.completed": "green",
    "submission.paid": "green",
    "submission.payment_failed": "red",
    "submission.expired": "yellow",
    "submission.refunded": "yellow",
    "notification.refused": "red",
    "message.sent": "green",
    "message.delivered": "green",
    "message.failed": "red",
    "message.bounced": "red",
    "message.complained": "red",
    "webhook.delivered": "green",
    "webhook.failed": "red",
}


def print_json(value: object) -> None:
    """One JSON document. Models are written with the names of the API."""
    sys.stdout.write(orjson.dumps(_plain(value), option=orjson.OPT_INDENT_2).decode() + "\n")


def print_list(items: Sequence[object], next_cursor: str | None = None) -> None:
    """A list as the API writes one."""
    print_json({"items": list(items), "next_cursor": next_cursor})


def say(text: str) -> None:
    """A line that other programs may read: never wrapped, never coloured."""
    sys.stdout.write(text + "\n")


def hint(text: str) -> None:
    """A line for a person at a terminal, and for nobody else."""
    if sys.stdout.isatty():
        ERR.print(Text(text, style="dim"))


def complain(text: str) -> None:
    """What went wrong, on standard error."""
    ERR.print(Text(text), soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Rows as a table; `empty` is said where there are none. Into a pipe, nothing is cut off or wrapped."""
    listed = [[cell(value) for value in row] for row in rows]
    if not listed:
        say(empty)
        return
    if not sys.stdout.isatty():
        for line in [[Text(column) for column in columns], *listed]:
            say("\t".join(text.plain for text in line))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for line in listed:
        table.add_row(*line)
    OUT.print(table)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair a line; what is None is left out."""
    known = [(name, cell(value).plain) for name, value in facts if value is not None]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        say(f"{name:<{width}}  {value}")


def cell(value: object) -> Text:
    if value is None:
        return Text("")
    if isinstance(value, datetime):
        return Text(value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ"))
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    words = "".join(character if character.isprintable() else "�" for character in str(value))
    return Text(words, style=_COLOURS.get(words, ""))


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
