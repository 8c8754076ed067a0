"""A folder for servers that a test starts by itself."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty folder with a short path that only its owner can enter, as a home folder may be."""
    path = Path(tempfile.mkdtemp(prefix="hermod-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)
