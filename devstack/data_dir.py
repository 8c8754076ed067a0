"""The data folder of a dev stack (`.hermod`): its lock, its secrets, and what it tells other commands.

lock           held by the one stack that runs here; says which (JSON: pid, url)
secrets.json   made once, mode 600: HERMOD_SECRET_KEY, HERMOD_JWT_SECRET, HERMOD_API_KEY (the demo tenant's), and the
               password of the embedded ClickHouse
dev.json       there while the stack is ready, mode 600: addresses and keys for scripts, the CLI and tests
logs/ run/     of the child processes: logs and pid files
postgres/ temporal/ sandbox/ clickhouse/   their data
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.errors import StackError
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.tenants import new_key

_SECRETS: Mapping[str, Callable[[], str]] = {
    "HERMOD_SECRET_KEY": Vault.new_key,
    "HERMOD_JWT_SECRET": lambda: secrets.token_urlsafe(48),
    "HERMOD_API_KEY": new_key,
    "HERMOD_DEV_CLICKHOUSE_PASSWORD": lambda: secrets.token_urlsafe(32),
}


@dataclass(frozen=True, slots=True)
class DataDir:
    """An absolute path and the names below it."""

    path: Path

    @property
    def dev_file(self) -> Path:
        return self.path / "dev.json"

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        return self.path / "run" / f"{name}.pid"

    def secrets(self) -> dict[str, str]:
        """The secrets by their names; those that are missing are made. Raises StackError for a broken file."""
        file = self.path / "secrets.json"
        kept = _read_secrets(file) if file.exists() else {}
        missing = {name: make() for name, make in _SECRETS.items() if name not in kept}
        if missing:
            write_private(file, kept | missing)
        return kept | missing

    def keep_secret(self, name: str, value: str) -> None:
        """Put another value in the place of a secret."""
        kept = self.secrets()
        if kept[name] != value:
            write_private(self.path / "secrets.json", kept | {name: value})


def _read_secrets(file: Path) -> dict[str, str]:
    try:
        kept = json.loads(file.read_text())
    except ValueError:
        kept = None
    if not isinstance(kept, dict):
        raise StackError(
            f"{file} cannot be read as JSON. Bring it back from a copy: the credentials of provider accounts are "
            f"encrypted with it. To begin anew without them, remove it."
        )
    return {str(name): str(value) for name, value in kept.items()}


def write_private(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that only its owner can read, all of it or nothing."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        json.dump(content, out, indent=2)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)


@contextmanager
def hold(path: Path, *, url: str) -> Iterator[DataDir]:
    """Make the folder ours alone until the end of the block, or of this process, however it ends.

    Raises StackError if another stack runs on it, saying which and where.
    """
    path = path.expanduser().resolve()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as reason:
        raise StackError(
            f"cannot write to the data folder {path}: {reason.strerror}. Set HERMOD_DATA_DIR to another one."
        ) from None
    try:
        if not _lock(lock):
            raise StackError(_running(path))
        os.ftruncate(lock, 0)
        os.write(lock, json.dumps({"pid": os.getpid(), "url": url}).encode())
        yield DataDir(path)
    finally:
        os.close(lock)


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _running(path: Path) -> str:
    try:
        holder = json.loads((path / "lock").read_text())
        who = f"process {holder['pid']}, at {holder['url']}"
        advice = f"Stop it there with Ctrl-C or with `kill {holder['pid']}`"
    except (OSError, ValueError, KeyError, TypeError):
        who, advice = "another process", "Stop it"
    return (
        f"Hermod is already running on {path}: {who}.\n"
        f"{advice}, or start a second one with HERMOD_DATA_DIR and other ports."
    )
