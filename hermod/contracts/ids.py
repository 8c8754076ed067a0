"""Every id Hermod makes or reads: record ids (`msg_…`) and workflow ids (`message/{tenant}/{id}`).

Record ids sort by the time they were made: twelve hex digits of milliseconds, then 64 random bits. Those that one
process makes in the same millisecond count up.
A workflow id is derived from the record, so that starting it twice finds the first one. Tenants and
record ids never contain a slash; a partial's workflow has two parts, form and session.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from datetime import datetime
from typing import Final, NamedTuple

TENANT_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""Lower-case letters, digits, `_` and `-`; at most 63 characters."""

_RANDOM_BITS: Final = 64
_STEP_BYTES: Final = 6
"""Of the random number by which the next id of a millisecond is higher: it cannot be told from the one before."""

_WORKFLOW_ID = re.compile(r"^(?P<kind>[a-z-]+)/(?P<tenant>[a-z0-9][a-z0-9_-]{0,62})/(?P<record>[^/]+(?:/[^/]+)?)$")


class WorkflowRef(NamedTuple):
    """A workflow id taken apart: `message/demo/msg_…` is ("message", "demo", "msg_…")."""

    kind: str
    tenant: str
    record: str


class _Numbers:
    """The numbers of new ids: each is higher than the one before, also where the clock stands still or is set back."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._last = 0

    def next(self) -> int:
        now = time.time_ns() // 1_000_000
        with self._turn:
            if now > self._last >> _RANDOM_BITS:
                self._last = now << _RANDOM_BITS | int.from_bytes(secrets.token_bytes(8), "big") >> 1
            else:
                self._last += 1 + int.from_bytes(secrets.token_bytes(_STEP_BYTES), "big")
            return self._last


_numbers: Final = _Numbers()


def new_id(prefix: str) -> str:
    """A new sortable id, for example `msg_019aa1c2d3e4` followed by 16 hex digits."""
    return f"{prefix}_{_numbers.next():028x}"


def since(prefix: str, at: datetime) -> str:
    """The lower bound of the ids made from then on: every id made before sorts before it."""
    return f"{prefix}_{max(int(at.timestamp() * 1000), 0):012x}"


def following(own: str) -> str:
    """The least id that sorts after this one."""
    prefix, _, digits = own.partition("_")
    return f"{prefix}_{int(digits, 16) + 1:0{len(digits)}x}"


def message_id() -> str:
    return new_id("msg")


def batch_id() -> str:
    return new_id("bat")


def request_id() -> str:
    return new_id("req")


def message_workflow(tenant: str, message: str) -> str:
    return f"message/{tenant}/{message}"


def webhook_workflow(tenant: str, delivery: str) -> str:
    return f"webhook/{tenant}/{delivery}"


def webhook_batch_workflow(tenant: str, batch: str) -> str:
    return f"webhook-batch/{tenant}/{batch}"


def webhook_part(batch: str, endpoint: str) -> str:
    """The name of the batch in which an endpoint's share of a batch to several endpoints goes on."""
    return f"{batch}.{endpoint}"


def webhook_order_workflow(tenant: str, endpoint: str, key: str) -> str:
    """`key` is the fingerprint of an ordering key."""
    return f"webhook-order/{tenant}/{endpoint}.{key}"


def webhook_endpoint_workflow(tenant: str, endpoint: str) -> str:
    """The workflow in which deliveries wait together for an endpoint in trouble."""
    return f"webhook-endpoint/{tenant}/{endpoint}"


def replay_workflow(tenant: str, replay: str) -> str:
    return f"replay/{tenant}/{replay}"


def batch_workflow(tenant: str, batch: str) -> str:
    return f"batch/{tenant}/{batch}"


def events_workflow(tenant: str, batch: str) -> str:
    return f"events/{tenant}/{batch}"


def submission_workflow(tenant: str, submission: str) -> str:
    return f"submission/{tenant}/{submission}"


def partial_workflow(tenant: str, form: str, session: str) -> str:
    return f"partial/{tenant}/{form}/{session}"


def schedule(name: str) -> str:
    return f"housekeeping/{name}"


def parse_workflow_id(workflow_id: str) -> WorkflowRef | None:
    """The parts of one of our workflow ids, or None for a stranger's."""
    found = _WORKFLOW_ID.match(workflow_id)
    return WorkflowRef(found["kind"], found["tenant"], found["record"]) if found else None
