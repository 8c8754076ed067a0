"""What the whole suite shares: servers, each started when a test first asks for it, and no sockets for unit tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine than about the code. What CI says of a commit must be what it
# says of it again, so there every run makes up the same examples; everybody else's finds new ones.
settings.register_profile(
    "any machine", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Where no test configures the log, its lines are no output: a worker in the background would write them into what a
# command prints.
structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.__stderr__))

pytest_plugins = ["tests.support.servers", "tests.support.product"]

_WITHOUT_NETWORK = ("architecture", "unit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in _WITHOUT_NETWORK:
            item.add_marker(pytest.mark.disable_socket)
