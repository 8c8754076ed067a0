"""The repository as the architecture tests see it: its files without the ignored ones, and parsed modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("activities", "benchmarks", "devstack", "hermod", "migrations", "starter", "web", "worker.py", "workflows")
"""Where the product's own Python lives."""


def _ignored() -> frozenset[str]:
    lines = (ROOT / ".gitignore").read_text().splitlines()
    return frozenset({".git"} | {line.rstrip("/") for line in lines if line and not line.startswith("#")})


def entries() -> list[Path]:
    """What a fresh clone has in its root."""
    ignored = _ignored()
    return sorted(path for path in ROOT.iterdir() if path.name not in ignored)


@cache
def files() -> tuple[Path, ...]:
    """Every file of a fresh clone. `.gitignore` names folders and files by their last part, so git is not needed."""
    ignored = _ignored()
    return tuple(_walk(ROOT, ignored))


def _walk(folder: Path, ignored: frozenset[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in ignored:
            continue
        if path.is_dir():
            yield from _walk(path, ignored)
        else:
            yield path


def modules(*tops: str) -> list[Path]:
    """The Python files below these root entries; those of the product where none is named."""
    wanted = tops or PRODUCT
    return [path for path in files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in wanted]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def place(path: Path) -> str:
    """A path as it is shown: from the root, with slashes."""
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> set[str]:
    """The dotted names that a module imports: `from a import b` counts as `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names
