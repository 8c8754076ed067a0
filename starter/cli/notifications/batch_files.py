"""Files of messages for `hermod send-batch`: JSON lines, a JSON document, or CSV with a header line.

In CSV a column is a field, `data.name` and `metadata.order` are fields inside, `cc`, `bcc` and `media_urls` hold
several values separated by `;`, and so may `reply_to` and `retry`. An empty cell is a field left out.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, Final, TextIO

from starter.cli.notifications.waits import retry_of
from starter.notifications.parsing import MalformedJson, read_json

MANY: Final = frozenset({"cc", "bcc", "media_urls"})
MAX_CELL: Final = 20 * 1024 * 1024


class Form(StrEnum):
    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"


class UnreadableFile(Exception):
    """The file as a whole cannot be read as what it is said to be."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a file: the line it begins at (in a document: its place, from 1), and what it says.

    `fault` tells why there is no telling.
    """

    line: int
    given: Any = None
    fault: str | None = None


def form_of(name: str) -> Form | None:
    """What a file's name says about its form."""
    ends = {".jsonl": Form.JSONL, ".ndjson": Form.JSONL, ".json": None, ".csv": Form.CSV}
    return next((form for end, form in ends.items() if name.lower().endswith(end)), None)


def read_messages(text: TextIO, form: Form | None) -> Iterator[Entry]:
    """The messages, as they are read. Without a form the first line decides. Raises UnreadableFile."""
    try:
        numbered = enumerate(text, 1)
        first = next(((number, line) for number, line in numbered if line.strip()), None)
        if first is None:
            return
        lines = chain([first], numbered)
        found = form or _guess(first[1])
        if found is Form.JSON:
            yield from _document("".join(line for _, line in lines))
        elif found is Form.CSV:
            yield from _rows(lines)
        else:
            yield from _json_lines(lines)
    except UnicodeDecodeError:
        raise UnreadableFile("the file is not UTF-8") from None


def with_defaults(entry: Entry, defaults: dict[str, Any]) -> Any:
    """The message with the fields that it leaves out."""
    return {**defaults, **entry.given} if isinstance(entry.given, dict) else entry.given


def assignments(pairs: Iterable[str]) -> dict[str, Any]:
    """`["channel=sms", "metadata.kind=otp"]` as an object. Raises ValueError."""
    fields: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"{pair!r} is not like field=value")
        _put(fields, name, value)
    return fields


def _guess(line: str) -> Form:
    begin = line.lstrip()[:1]
    if begin == "[":
        return Form.JSON
    if begin != "{":
        return Form.CSV
    try:
        whole = read_json(line)
    except MalformedJson:
        return Form.JSON  # an object that goes on in the next line
    return Form.JSON if "messages" in whole else Form.JSONL


def _document(text: str) -> Iterator[Entry]:
    try:
        found = read_json(text)
    except MalformedJson as error:
        raise UnreadableFile(f"the file is {error}") from None
    messages = found
    if isinstance(found, dict):
        messages = found.get("messages", [found])
    if not isinstance(messages, list):
        raise UnreadableFile('the file is neither {"messages": [...]} nor a list of messages')
    for place, given in enumerate(messages, 1):
        yield Entry(place, given)


def _json_lines(lines: Iterable[tuple[int, str]]) -> Iterator[Entry]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            yield Entry(number, read_json(line))
        except MalformedJson as error:
            yield Entry(number, fault=str(error))


def _rows(lines: Iterable[tuple[int, str]]) -> Iterator[Entry]:
    csv.field_size_limit(MAX_CELL)
    begun = _Counted(lines)
    reader = csv.reader(begun, strict=True)
    header: list[str] = []
    while True:
        line = begun.number + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Entry(line, fault=f"not CSV: {error}")
            continue
        if not header:
            header = [name.strip() for name in row]
            _check(header)
        elif any(row):
            yield _row(line, header, row)


class _Counted:
    """Lines for the CSV reader, which asks for more of them while a quoted cell goes on."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self._lines = iter(lines)
        self.number = 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        return line


def _check(header: list[str]) -> None:
    if not all(header) or len(set(header)) != len(header):
        raise UnreadableFile("the first line of a CSV file names its columns, each once")


def _row(line: int, header: list[str], row: list[str]) -> Entry:
    if len(row) > len(header):
        return Entry(line, fault=f"there are {len(row)} cells for {len(header)} columns")
    fields: dict[str, Any] = {}
    try:
        for name, value in zip(header, row, strict=False):
            if value != "":
                _put(fields, name, value)
    except ValueError as error:
        return Entry(line, fault=str(error))
    return Entry(line, fields)


def _put(fields: dict[str, Any], name: str, value: str) -> None:
    """Set `a.b` inside `a`. Raises ValueError where `a` has a value of its own."""
    *outer, last = name.split(".")
    inner = fields
    for step in outer:
        inner = inner.setdefault(step, {})
        if not isinstance(inner, dict):
            raise ValueError(f"{name}: {step} has a value already")
    inner[last] = _value(name, value)


def _value(name: str, value: str) -> Any:
    """A WhatsApp template may be written as JSON, since a cell has no other way to hold it."""
    if name in MANY or (name == "reply_to" and ";" in value):
        return [part.strip() for part in value.split(";") if part.strip()]
    if name == "retry":
        return retry_of(value)
    if name == "template" and value.lstrip().startswith("{"):
        return json.loads(value)
    return value
