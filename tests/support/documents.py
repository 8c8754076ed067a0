"""The documents for users as data: their shell blocks, and the commands in their text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import REPOSITORY

PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md")))
PREAMBLE = "export PATH="
"""How the block begins that defines what the commands of all pages stand on. It is in the README."""
NOT_RUN = {
    "make ": "the test has started the product by itself, and make's targets are those of this very repository",
    "docker ": "no Docker on the machines that test",
    "python worker.py": "runs until it is stopped, and needs a cluster; the options are looked up",
    "python -m web": "runs until it is stopped, at the port of the one that runs",
}
"""Commands that are not run by the test, by how they begin, and why. They are checked as text."""


@dataclass(frozen=True)
class Block:
    """A fenced shell block: its page, the number of its first line, and its lines."""

    page: str
    line: int
    text: str

    @property
    def commands(self) -> list[str]:
        return [line.strip() for line in self.text.splitlines() if line.strip() and not line.strip().startswith("#")]

    @property
    def not_run(self) -> list[str]:
        """Its commands that are not run. Where there are any, none of the block is."""
        return [command for command in self.commands if command.startswith(tuple(NOT_RUN))]


def read(page: str) -> str:
    return Path(REPOSITORY, page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """Its shell blocks; those of other languages are left out."""
    text = read(page)
    return [
        Block(page, text.count("\n", 0, fence.start()) + 2, fence[3])
        for fence in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
        if fence[2] in ("bash", "sh", "shell", "console")
    ]


def inline_commands(page: str) -> list[str]:
    """What stands between backticks in its text and begins with `hermod `."""
    prose = re.sub(r"^ *```.*?^ *```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    return [re.sub(r"\s+", " ", found) for found in re.findall(r"`(?:\.venv/bin/)?(hermod [^`]+)`", prose)]
