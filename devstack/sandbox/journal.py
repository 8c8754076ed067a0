"""The inbox's file: JSON lines, written in bunches so that a message costs no system call of its own.

A line is one of
    {"entry": {...}, "key": "…", "images": {"0": "<base64>"}}    a message, its idempotency key, its inline images
    {"repeated": 17}                                             the message of that number came once more
    {"forgotten": {...}}                                         what must outlive a message that is no longer kept
A killed process loses the lines of the last `FLUSH_SECONDS` at most, and a torn last line is skipped when read.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

import orjson

from devstack.sandbox.entry import Entry

FLUSH_SECONDS: Final = 0.2
MAX_IMAGE_BYTES: Final = 256 * 1024
"""Inline images up to this size survive a restart; other files are for the running sandbox only."""

log = logging.getLogger(__name__)


class Journal:
    """Appends to one file. Not safe for two processes at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[bytes] = []
        self._file: IO[bytes] | None = None

    def lines(self) -> Iterator[dict[str, Any]]:
        """What an earlier run left, oldest first. Lines that cannot be read are left out."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                try:
                    record = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(record, dict):
                    yield record

    def open(self) -> None:
        """Make the file ready for appending; a torn last line is closed, so that it does not swallow the next one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab", buffering=0)
        if self._file.tell() and not _ends_with_newline(self._path):
            self._file.write(b"\n")

    def append(self, record: dict[str, Any]) -> None:
        """Keep for the next flush."""
        self._waiting.append(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

    def flush(self) -> None:
        """Write what waits. A full or broken disk costs the journal, not the running sandbox."""
        if not self._waiting or self._file is None:
            return
        lines, self._waiting = self._waiting, []
        try:
            self._file.write(b"".join(lines))
        except OSError as reason:
            log.error("the inbox could not be written to %s: %s", self._path, reason)

    def replace(self, records: Iterable[dict[str, Any]]) -> None:
        """Start the file anew with these records, in one step: a crash leaves the old or the new one."""
        self._waiting.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_name(self._path.name + ".new")
        with scratch.open("wb") as file:
            for record in records:
                file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        scratch.replace(self._path)
        self.open()

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None


def entry_record(entry: Entry) -> dict[str, Any]:
    """The line of a message."""
    record: dict[str, Any] = {"entry": entry.as_dict()}
    if entry.idempotency_key is not None:
        record["key"] = entry.idempotency_key
    if entry.attachments:
        record["images"] = {
            str(position): base64.b64encode(attachment.content).decode()
            for position, attachment in enumerate(entry.attachments)
            if attachment.content_id and attachment.content and attachment.size <= MAX_IMAGE_BYTES
        }
    return record


def recorded_entry(record: dict[str, Any]) -> Entry:
    """The message of a line. Raises KeyError, TypeError, IndexError or ValueError for a line of another shape."""
    entry = Entry.from_dict(record["entry"])
    entry.idempotency_key = record.get("key")
    for position, content in record.get("images", {}).items():
        entry.attachments[int(position)].content = base64.b64decode(content)
    return entry


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
