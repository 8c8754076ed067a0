"""chDB as one request needs it: a connection of its own, with the request's database, settings and parameters.

A connection to the running engine takes 0.2 ms, so none is kept: nothing of one request can leak into the next.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from devstack.clickhouse.access import refused, write_config

_ERROR: Final = re.compile(r"Code: (\d+)\. DB::Exception: (?:Code: \d+\. DB::Exception: )?", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_UNKNOWN_SETTING: Final = 115
_BUG: Final = 49  # LOGICAL_ERROR
_ACCESS_DENIED: Final = 497


class EngineError(Exception):
    """ClickHouse's own exception: its code, and its text as a server words it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one request asks. `text` is the statement, and behind it the rows of an INSERT."""

    text: bytes
    database: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    """For `{name:Type}`."""


class Engine:
    """Opened by the first statement; that takes a second. Statements may run side by side, each in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opening = threading.Lock()
        self._chdb: Any = None
        self._keeper: Any = None
        """A connection that is never used: with the last one the engine would stop."""

    @property
    def version(self) -> str:
        return str(self._chdb.engine_version) if self._chdb else "unknown"

    def open(self) -> None:
        with self._opening:
            if self._keeper is None:
                import chdb

                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._keeper = chdb.connect(f"{self._folder}?config-file={write_config(self._folder)}")
                self._chdb = chdb

    def run(self, statement: Statement) -> bytes:
        """Raises EngineError."""
        if word := refused(statement.text):
            raise EngineError(_ACCESS_DENIED, f"{word} is not there in the dev stack. (ACCESS_DENIED)")
        self.open()
        connection = self._chdb.connect(str(self._folder))
        try:
            if statement.database:
                self._ask(connection, f"USE {_identifier(statement.database)}".encode(), {})
            for name, value in statement.settings.items():
                if not _NAME.fullmatch(name):
                    raise EngineError(_UNKNOWN_SETTING, f"Unknown setting {name!r}. (UNKNOWN_SETTING)")
                self._ask(connection, f"SET {name} = {_literal(value)}".encode(), {})
            return self._ask(connection, statement.text, statement.parameters)
        finally:
            connection.close()

    def _ask(self, connection: Any, text: bytes, parameters: Mapping[str, str]) -> bytes:
        try:
            answer = connection.query(text, "TabSeparated", params=dict(parameters))
        except RuntimeError as error:
            raise _explained(str(error)) from None
        body: bytes = answer.bytes() or b""
        return body


def _explained(text: str) -> EngineError:
    """chDB gives the exception as text only."""
    found = _ERROR.search(text)
    if found is None:
        return EngineError(_BUG, text)
    return EngineError(int(found[1]), text[found.end() :])


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
