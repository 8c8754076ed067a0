"""docs/adding-a-provider.md keeps its word: a folder, its sandbox side and its tests make a provider, nothing else."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "example-provider"
TREE = ("hermod", "devstack", "starter", "tests", "activities", "workflows", "worker.py", "pyproject.toml")


@pytest.fixture
def scaffold(tmp_path: Path) -> Path:
    """The tree with the example's files in it."""
    leave = shutil.ignore_patterns("__pycache__", "histories")
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=leave)
        else:
            shutil.copy(source, tmp_path / name)
    shutil.copytree(EXAMPLE, tmp_path, ignore=leave, dirs_exist_ok=True)
    return tmp_path


def test_example_touches_one_folder_its_sandbox_side_and_its_tests() -> None:
    files = {path.relative_to(EXAMPLE) for path in EXAMPLE.rglob("*.py")}
    assert {path.as_posix() for path in files} == {
        "hermod/channels/sms/acme/__init__.py",
        "hermod/channels/sms/acme/kit.py",
        "hermod/channels/sms/acme/receipts.py",
        "hermod/channels/sms/acme/sender.py",
        "devstack/sandbox/providers/acme.py",
        "tests/integration/conformance/test_acme.py",
    }
    assert not [path for path in files if (ROOT / path).exists()]


async def test_example_scaffolded_is_found_and_passes_every_suite(scaffold: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pytest", "-q", "tests/integration/conformance/test_acme.py"),
        cwd=scaffold,
        env={**os.environ, "PYTHONPATH": str(scaffold)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed = (await process.communicate())[0].decode()
    assert process.returncode == 0, printed
    assert " passed" in printed
