"""How claimed rows become inserts: by type of event, and each with a token that a repeat finds again.

The token is made of the batches that the rows are from, not of the insert's name: what an insert has taken never
changes, and another one of the same name, after this one is done, has other rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hermod.ports.analytics import Claimed, ClaimedBatch

OWN_ROWS: Final = 1_000
"""A type with so many rows in a round has an insert of its own; smaller ones share one."""
OWN_INSERTS: Final = 32
"""And at most so many types, the largest. Each insert becomes a part, and parts are what ClickHouse can have too many
of: a visitor's ten types a second would cost more than a hundred thousand events in one insert.
"""
REST: Final = "*"


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one batch and type."""

    batch: str
    type: str
    lines: bytes


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows that go to a table together: of one type, or of several (`REST`)."""

    table: str
    type: str
    token: str
    parts: Sequence[Part]

    @property
    def lines(self) -> bytes:
        return b"".join(part.lines for part in self.parts)


def planned(claimed: Claimed) -> list[Insert]:
    """The same for the same batches, whoever asks and whenever."""
    inserts: list[Insert] = []
    for table in sorted({batch.table for batch in claimed.batches}):
        by_type: dict[str, list[Part]] = {}
        for batch in claimed.batches:
            if batch.table == table:
                for kind, lines in batch.lines.items():
                    by_type.setdefault(kind, []).append(Part(batch.id, kind, lines))
        sizes = {kind: sum(len(part.lines) for part in parts) for kind, parts in by_type.items()}
        largest = sorted(by_type, key=lambda kind: (-sizes[kind], kind))
        token = _digest(batch for batch in claimed.batches if batch.table == table)
        own = [kind for kind in largest[:OWN_INSERTS] if _rows(by_type[kind]) >= OWN_ROWS]
        inserts += [_insert(table, kind, token, by_type[kind]) for kind in own]
        if rest := [part for kind in largest if kind not in own for part in by_type[kind]]:
            inserts.append(_insert(table, REST, token, rest))
    return inserts


def halves(lines: bytes) -> tuple[bytes, bytes]:
    """Two or more lines, cut in the middle."""
    middle = lines.find(b"\n", len(lines) // 2 - 1, len(lines) - 1)
    if middle < 0:
        middle = lines.rfind(b"\n", 0, len(lines) - 1)
    return lines[: middle + 1], lines[middle + 1 :]


def part_token(table: str, part: Part, lines: bytes) -> str:
    """For some lines of a part that was refused as a whole."""
    return f"{part.batch}:{table}:{part.type}:{hashlib.blake2b(lines, digest_size=16).hexdigest()}"


def _rows(parts: Sequence[Part]) -> int:
    return sum(part.lines.count(b"\n") for part in parts)


def _insert(table: str, kind: str, token: str, parts: Sequence[Part]) -> Insert:
    return Insert(table, kind, f"{token}:{table}:{kind}", parts)


def _digest(batches: Iterator[ClaimedBatch]) -> str:
    return hashlib.blake2b("\n".join(batch.id for batch in batches).encode(), digest_size=16).hexdigest()
