"""How many parts an SMS is sent and billed in."""

from __future__ import annotations


def segments(text: str) -> int:
    """The number of parts, 0 for no text (a picture)."""
    return -(-len(text) // 153)
