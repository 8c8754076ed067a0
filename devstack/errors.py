"""What may stop the dev stack, as text for the person who started it."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot start or go on. The text says what is wrong and what to do; no traceback is shown."""
