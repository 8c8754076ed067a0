"""How many files and connections a process lets itself have."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.processes import REPOSITORY

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")

_SCRIPT = """
import resource, sys
soft, hard = int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
hard = min(int(sys.argv[2]), hard) if hard != resource.RLIM_INFINITY else int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from hermod.telemetry import configure_logging
from starter.process.processes import raise_file_limit
configure_logging("INFO")
raise_file_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits_after(soft: int, hard: int) -> tuple[int, int, str]:
    """Soft and hard limit of a process that began with these, and what it logged."""
    command = [sys.executable, "-c", _SCRIPT, str(soft), str(hard)]
    ended = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=60)
    raised, kept = map(int, ended.stdout.split())
    return raised, kept, ended.stderr


def test_soft_limit_is_raised_in_silence_as_far_as_is_useful() -> None:
    raised, kept, logged = limits_after(1_024, 200_000)
    assert (raised, logged) == (min(65_536, kept), "")


def test_low_hard_limit_is_logged() -> None:
    raised, kept, logged = limits_after(256, 512)
    assert (raised, kept) == (512, 512)
    assert "few_open_files" in logged
