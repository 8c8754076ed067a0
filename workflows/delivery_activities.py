"""What a delivery workflow has done, of messages or of webhooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.errors import NEXT_ATTEMPT_LATER
    from hermod.contracts.notifications.delivery import DeliveryReport, WaitDetails
    from workflows.policies import Options


class DeliveryActivities:
    """The two activities of a kind of delivery, for the order at hand.

    A class of few words: the sandbox makes it anew for each workflow, and a dataclass takes half a millisecond.
    """

    def __init__(
        self,
        *,
        deliver: Callable[[Options], Awaitable[DeliveryReport]],
        withdraw: Callable[[], Awaitable[DeliveryReport]],
        count: int,
        good: str,
    ) -> None:
        self.deliver = deliver
        self.withdraw = withdraw
        self.count = count
        """How many messages or deliveries there are."""
        self.good = good
        """The status in which all of them should end."""


def waiting_of(error: ActivityError) -> WaitDetails | None:
    """What a dispatch said that ended since its next attempt is more than a minute away."""
    cause = error.cause
    if not isinstance(cause, ApplicationError) or cause.type != NEXT_ATTEMPT_LATER:
        return None
    return WaitDetails.model_validate(cause.details[0])
