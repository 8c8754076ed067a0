"""What Temporal is told about everything that is started: how urgent it is, whose it is, and how much that counts."""

from __future__ import annotations

from temporalio.common import Priority

from hermod.contracts.priorities import priority_key


def temporal_priority(priority: int, tenant: str, weight: float = 1.0) -> Priority:
    """Work without a key would have the server's own default, which is before our default and lets it starve.

    Activities and child workflows inherit all of it. `tenant`: whoever a busy lane is shared with, by `weight`.
    """
    return Priority(priority_key=priority_key(priority), fairness_key=tenant, fairness_weight=weight)
