"""Where ClickHouse is: a server over HTTP, an engine inside this process with a folder of its own, or nowhere."""

from __future__ import annotations

import fcntl
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from hermod.contracts.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Server:
    """An address of ClickHouse's HTTP interface. A path in the URL is kept: it belongs to a proxy in front."""

    url: str
    user: str | None = None
    password: str | None = None

    def parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def port(self) -> int:
        """ClickHouse's own default where the URL names none, not the web's."""
        parts = self.parts()
        return parts.port or (8443 if parts.scheme == "https" else 8123)

    def sign_in(self) -> tuple[str | None, str]:
        """User and password; those of the settings before those of the URL. A password alone is the default user's."""
        parts = self.parts()
        password = self.password or unquote(parts.password or "")
        user = self.user or unquote(parts.username or "") or ("default" if password else None)
        return user, password

    def __str__(self) -> str:
        parts = self.parts()
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Folder:
    """chDB's data. It belongs to one process at a time, which holds `<folder>.lock`."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Nowhere:
    """No server is set, and the engine inside a process is not for this one: the worker has it, which stores events."""

    def __str__(self) -> str:
        return "no server"

    @property
    def advice(self) -> str:
        return "CLICKHOUSE_URL is not set: one worker keeps events by itself, and nobody else can ask for them; set it"


class FolderLock:
    """Makes a folder this process's own; several clients in it share the lock, and the last one gives it back.

    The kernel gives it back when the process ends, however it ends.
    """

    _turn = threading.Lock()
    _held: dict[Path, tuple[int, int]] = {}  # noqa: RUF012 - of the whole process: file descriptor and number of holders

    def __init__(self, folder: Path) -> None:
        self._file = folder.with_name(f"{folder.name}.lock")

    def take(self) -> None:
        """Raises Unavailable where another process has it, saying which."""
        with self._turn:
            descriptor, holders = self._held.get(self._file, (-1, 0))
            self._held[self._file] = (descriptor if holders else self._lock(), holders + 1)

    def give_back(self) -> None:
        with self._turn:
            descriptor, holders = self._held.pop(self._file)
            if holders > 1:
                self._held[self._file] = (descriptor, holders - 1)
            else:
                os.close(descriptor)

    def look(self) -> None:
        """Raises Unavailable where `take` would, and keeps nothing."""
        if self._file.exists():
            self.take()
            self.give_back()

    def _lock(self) -> int:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as reason:
            raise Unavailable(f"cannot write to {self._file}: {reason.strerror}; set CLICKHOUSE_URL") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace") or "unknown"
            os.close(descriptor)
            raise Unavailable(
                f"the embedded ClickHouse belongs to another process ({holder}); set CLICKHOUSE_URL to share a server"
            ) from None
        return descriptor
