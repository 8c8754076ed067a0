"""What the product's own log says, line by line, as `configure_logging` has it written."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import structlog
from structlog._config import BoundLoggerLazyProxy

from hermod.telemetry import configure_logging


@contextmanager
def logged(form: str = "json") -> Iterator[Callable[[], str]]:
    """Everything that is logged in the block, as text, from a call that may be made again."""
    written, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    configured = structlog.get_config() if structlog.is_configured() else None
    with patch("sys.stderr", written):
        configure_logging("DEBUG", form)
    # A logger that is kept would stay as it is configured here; those of modules may be, as an earlier test had it.
    structlog.configure(cache_logger_on_first_use=False)
    for module in list(sys.modules.values()):
        kept = getattr(module, "_log", None)
        if isinstance(kept, BoundLoggerLazyProxy):
            vars(kept).pop("bind", None)
    try:
        yield written.getvalue
    finally:
        root.handlers[:], root.level = before[0], before[1]
        structlog.reset_defaults()
        if configured is not None:
            structlog.configure(**configured)
