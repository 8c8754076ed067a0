"""What the product's own log says, line by line, as `configure_logging` has it written."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import structlog

from hermod.telemetry import configure_logging


@contextmanager
def logged(form: str = "json") -> Iterator[Callable[[], str]]:
    """Everything that is logged in the block, as text, from a call that may be made again."""
    written, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    with patch("sys.stderr", written):
        configure_logging("DEBUG", form)
    # A logger that is kept would stay as it is configured here.
    structlog.configure(cache_logger_on_first_use=False)
    try:
        yield written.getvalue
    finally:
        root.handlers[:], root.level = before[0], before[1]
        structlog.reset_defaults()
