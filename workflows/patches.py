"""Where workflows do otherwise than those of a released version did. A run that has passed such a place the old way
replays the old way; all others go the new one. A patch may go when no run of that version is left, open or to be reset.

Histories of the old way: `tests/replay/histories/*.released.json`.
"""

from __future__ import annotations

from typing import Final

from temporalio import workflow

CANCELLED_WHATEVER_THE_END: Final = "cancelled-whatever-the-end"
"""What was asked to stop is withdrawn, however its activity ended. Before, only where that ended as cancelled."""
LET_GO_WHATEVER_THE_END: Final = "let-go-whatever-the-end"
"""A line goes on without what it let go, however the activity ended, and ends where all of it is cancelled. Before, it
failed in the one case and went on in the other."""
ONLY_A_RESET_TRIES_AGAIN: Final = "only-a-reset-tries-again"
"""A submission that another run gave up ends as it is, unless it was reset. Before, any run asked again and again."""
_RESET_GOES_ON_AT_ONCE: Final = "reset-goes-on-at-once"
_OWNED_BEFORE_IT_LEAVES: Final = "owned-before-it-leaves"


def reset_goes_on_at_once(wait: int) -> bool:
    """Whether a run that an operator made by a reset begins at this wait, the how manyth it is, and so makes the next
    attempt in its place. What it replays of the older run has waited. To be asked only where another run says that
    there is something to wait for.
    """
    return workflow.patched(f"{_RESET_GOES_ON_AT_ONCE}-{wait}")


def owned_before_it_leaves() -> bool:
    """Whether what leaves a batch belongs to its next workflow before that is started: so cancelling the batch covers
    it, and the next workflow takes nothing over. Before, it took over what was the batch's (`taken_from`), and a cancel
    came too late. To be asked only where something leaves.
    """
    return workflow.patched(_OWNED_BEFORE_IT_LEAVES)
