"""What a newcomer sees first, and what must never be committed."""

from __future__ import annotations

import re

from tests.architecture.lock import LOCK, locked, normal, requirements
from tests.architecture.tree import ROOT, entries, files, place

PRIVATE = [
    re.compile(r"(^|[^.\w/-])/(work|farm|root|home/[a-z]+|Users/[A-Za-z]+)/"),
    re.compile(r"index[-]url|find[-]links|trusted[-]host|\"resolved\":|source = [{] registry"),
    re.compile(r"https?://[^\s\"']*/simple\b|pypi[.]org|pythonhosted[.]org|registry[.]npmjs"),
]
"""Paths of somebody's machine, and addresses of package indexes."""


def test_root_entry_is_added_has_a_row_in_the_readme_map() -> None:
    """A row begins with the name in backquotes: `| `workflows/` | what happens and in which order |`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("|")]
    named = {name.partition("/")[0] for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    missing = [entry.name for entry in entries() if entry.name not in named | {"README.md", ".gitignore"}]
    assert missing == []


def test_file_is_committed_carries_no_private_address() -> None:
    found = []
    for path in files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{place(path)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(lines, 1)
            if any(pattern.search(line) for pattern in PRIVATE)
        ]
    assert found == []


def test_lock_is_read_has_a_hash_for_every_package() -> None:
    packages = locked()
    assert packages
    assert [name for name, hashes in packages.items() if "==" not in name or not hashes] == []


def test_lock_is_compared_fits_pyproject() -> None:
    """After a change to pyproject.toml: `make lock`."""
    versions = {normal(line.partition("==")[0]): line.partition("==")[2].partition(" ")[0] for line in locked()}
    unmet = [
        str(requirement)
        for requirement in requirements()
        if not requirement.specifier.contains(versions.get(normal(requirement.name), "0"), prereleases=True)
    ]
    assert unmet == []


def test_lock_is_read_leaves_our_top_level_names_alone() -> None:
    """llama-index-workflows installs a package called `workflows`, which is ours."""
    assert "llama-index-workflows" not in LOCK.read_text(encoding="utf-8")
