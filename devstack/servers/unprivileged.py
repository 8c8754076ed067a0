"""Whom PostgreSQL runs as when we are root, which it refuses to be, and how that user gets to its files.

No user is added to the machine: an existing one is taken, preferably one that reaches the files as things are
(the owner of the folder we are started in, under `sudo`), else `postgres` or `nobody`. Where the way is closed, the
folders on it that belong to us get the one bit that lets this user pass through (not list), and nothing else changes.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from devstack.errors import StackError
from devstack.servers.process import Account

_SPARE_ACCOUNTS = ("postgres", "nobody")
_NOBODY = "PostgreSQL must not run as root, and this machine has no user `postgres` or `nobody` to run it as."
_READ, _SEARCH = stat.S_IROTH, stat.S_IXOTH


def account_for(data: Path, programs: Path) -> Account | None:
    """The user to run the server of the folder `data` as, or None to stay who we are.

    Its owner, where it exists and root does not own it; `programs` is what the user must be able to execute.
    Raises StackError if no user can be brought to both.
    """
    if os.geteuid() != 0:
        return None
    candidates = _candidates(data)
    ways = [(account, closed_folders(data, account) + closed_folders(programs, account)) for account in candidates]
    for account, closed in sorted(ways, key=lambda way: bool(way[1])):
        if all(_is_ours(folder) for folder in closed):
            return account
    raise StackError(_no_way(*ways[0]) if ways else _NOBODY)


def _candidates(data: Path) -> list[Account]:
    """In order of preference; only the owner where the folder exists and has one that is not root."""
    owners = [folder.stat().st_uid for folder in (data, *data.parents) if folder.exists()]
    entries: list[pwd.struct_passwd] = []
    for uid in [uid for uid in owners if uid][:1]:
        with suppress(KeyError):
            entries.append(pwd.getpwuid(uid))
    if not (data.exists() and owners[0]):
        for name in _SPARE_ACCOUNTS:
            with suppress(KeyError):
                entries.append(pwd.getpwnam(name))
    return [Account(entry.pw_name, entry.pw_uid, entry.pw_gid) for entry in entries]


def _no_way(account: Account, folders: Sequence[Path]) -> str:
    closed = [folder for folder in folders if not _is_ours(folder)]
    return (
        f"PostgreSQL must not run as root, and the user {account.name} may not pass through {closed[0]}. "
        f"Start as another user than root, set HERMOD_DATA_DIR to a folder elsewhere, or run `chmod o+x {closed[0]}`."
    )


def _is_ours(path: Path) -> bool:
    return path.stat().st_uid == os.geteuid()


def _allowed(path: Path, account: Account, wanted: int) -> bool:
    """Whether the mode bits give the account `wanted`, which is written as bits for others."""
    return path.stat().st_mode & _for(path, account, wanted) == _for(path, account, wanted)


def _for(path: Path, account: Account, wanted: int) -> int:
    """`wanted` moved to the class of bits that counts for this account: owner, group or others."""
    status = path.stat()
    if status.st_uid == account.uid:
        return wanted << 6
    return wanted << 3 if status.st_gid == account.gid else wanted


def closed_folders(path: Path, account: Account) -> list[Path]:
    """The existing folders above `path` that the account may not pass through, outermost first."""
    return [
        parent
        for parent in reversed(path.resolve().parents)
        if parent.exists() and not _allowed(parent, account, _SEARCH)
    ]


def open_way(path: Path, account: Account) -> None:
    """Let the account pass through the folders above `path`; those that were closed must be ours."""
    for parent in closed_folders(path, account):
        parent.chmod(stat.S_IMODE(parent.stat().st_mode) | _for(parent, account, _SEARCH))


def give(path: Path, account: Account) -> None:
    """Make the account the owner of a file, or of a folder with all that is in it."""
    if path.stat().st_uid != account.uid:
        for each in (path, *path.rglob("*")):
            os.chown(each, account.uid, account.gid, follow_symlinks=False)


def open_tree(tree: Path, account: Account) -> None:
    """Let the account read an installed tree. One installed under a strict umask (077) belongs to its owner alone."""
    if not tree.exists() or _allowed(tree, account, _READ | _SEARCH):
        return
    for path in (*tree.rglob("*"), tree):
        wanted = _READ | (_SEARCH if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0)
        path.chmod(stat.S_IMODE(path.stat().st_mode) | _for(path, account, wanted))
