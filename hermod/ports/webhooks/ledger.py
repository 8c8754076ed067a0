"""Webhooks as a delivery sees them: endpoints in the clear, the ledger of deliveries, the wire, and what is learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from hermod.contracts.notifications.delivery import Attempt
from hermod.contracts.webhooks.deliveries import DeliveryStatus, Ordering, Phases, WhenExhausted
from hermod.ports.notifications.ledger import Ending, InFlight

SUCCESS: Final = "success"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A receiver, with its secrets in the clear. Never logged, never returned."""

    tenant: str
    id: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    keys: tuple[str, ...] = field(repr=False)
    """Signing keys that are valid now, the newest first: `whsec_…`, and `whsk_…` where it wants `v1a` too."""
    waits: tuple[timedelta, ...]
    """After the first attempt, after the second, and so on; one more attempt than there are waits."""
    jitter: float
    timeout: timedelta
    rate_per_second: float | None
    concurrency: int
    """Requests under way at once at the moment, 1 at least."""
    ordering: Ordering
    when_exhausted: WhenExhausted
    skip_after: int | None
    enabled: bool
    disabled_reason: str | None
    paused_until: datetime | None
    pause_reason: str | None
    pause_count: int
    revision: int


@dataclass(slots=True, kw_only=True)
class DeliveryItem:
    """An open delivery in the hands of a dispatch, which keeps it in step with the ledger."""

    id: str
    endpoint_id: str
    event_id: str
    event_type: str
    body: bytes = field(repr=False)
    """The very bytes that are signed and sent."""
    status: DeliveryStatus
    attempts: int
    spent: int
    """Attempts that the schedule has counted."""
    next_attempt_at: datetime | None
    wait_reason: str | None
    request_id: str | None
    order_key: str | None
    endpoint_revision: int = 0
    """Of the endpoint's settings when the delivery was read: the request is made by these, or by newer ones."""
    in_flight: InFlight | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One request to a receiver, complete: `headers` are sent as they are, `body` is what they sign."""

    url: str
    headers: Sequence[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)
    deadline: timedelta
    """Over name resolution, connecting, TLS, sending, headers and body together."""
    fresh: bool = False
    """Take a connection of its own instead of a kept one, which may be the very one that failed before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What one request came to. `outcome` is `success` for any 2xx, by the status line alone, else a short word."""

    outcome: str
    """success http_error redirect timeout dns connect tls reset protocol refused_address
    worker_lost interrupted not_made"""
    status_code: int | None = None
    error: str | None = None
    retry_after: float | None = None
    """Seconds that the receiver asked for, at most a day."""
    address: str | None = None
    request_headers: Mapping[str, str] = field(default_factory=dict)
    """As sent, or as they would have been; custom headers and signatures are masked."""
    response_headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    truncated: bool = False
    phases: Phases = field(default_factory=Phases)
    duration_ms: int = 0

    @property
    def succeeded(self) -> bool:
        return self.outcome == SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookIntent:
    """A request about to be made: committed before the first byte leaves."""

    delivery: str
    number: int
    ends_by: datetime | None = None
    """The request has ended by then, whatever becomes of its worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookResult:
    """What a request came to, and where its delivery stands from now on."""

    delivery: str
    number: int
    exchange: Exchange
    status: DeliveryStatus
    spent: int
    next_attempt_at: datetime | None
    wait_reason: str | None
    ends_by: datetime | None = None
    """Of its grant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChange:
    """A step without a request: a wait for the endpoint, or parked because the endpoint is disabled."""

    delivery: str
    number: int
    """Requests made before it: where another one was begun since, the step is not taken."""
    status: DeliveryStatus
    next_attempt_at: datetime | None
    wait_reason: str | None
    error: str | None = None
    """Why it ended, where it ended."""


class Requests(Protocol):
    """How a request is made of a delivery: signed, with the time of its attempt."""

    def __call__(self, endpoint: Endpoint, item: DeliveryItem, attempt: int, now: datetime) -> Post: ...


class Poster(Protocol):
    """The wire."""

    async def post(self, order: Post) -> Exchange:
        """Make the request. Every fault of the wire or the receiver is an outcome; only cancellation passes through."""
        ...

    async def aclose(self) -> None: ...


class Endpoints(Protocol):
    async def endpoint(self, tenant: str, endpoint: str, at_least: int = 0) -> Endpoint | None:
        """At most a second old, and of the revision `at_least` or a newer one; None for one that was deleted.

        Raises Unavailable, also where secrets do not open.
        """
        ...


@dataclass(frozen=True, slots=True)
class HandedOff:
    """A delivery that belongs to another workflow of ours than its batch."""

    delivery: str
    endpoint: str
    owner: str
    next_attempt_at: datetime | None
    attempts: int
    """Requests made so far."""


class WebhookLedger(Protocol):
    """Only deliveries that `owner` (a workflow id) owns are read or changed, and a request under way never is.

    Which condition keeps which promise is in docs/protocols.md. Each call may be made twice. Raises Unavailable.
    """

    async def open_items(
        self, tenant: str, owner: str, run: str, deliveries: Sequence[str], now: datetime
    ) -> list[DeliveryItem]:
        """The deliveries that are still open. Dead letters that another run gave up are opened again first, and those
        whose event is gone are given up."""
        ...

    async def grant(self, tenant: str, owner: str, intents: Sequence[WebhookIntent], now: datetime) -> set[str]:
        """Commit the intents; the ids that may be sent."""
        ...

    async def record(self, tenant: str, run: str, results: Sequence[WebhookResult], now: datetime) -> set[str]:
        """Commit outcomes; the ids of the deliveries that moved as told. A success that comes after its request was
        called lost replaces that in the log, and makes a delivery that is still to be sent, or was given up, delivered.
        """
        ...

    async def change(self, tenant: str, owner: str, changes: Sequence[WebhookChange], now: datetime) -> set[str]:
        """The ids that were changed: no request of them was begun meanwhile, and nobody withdrew them."""
        ...

    async def counts(self, tenant: str, deliveries: Sequence[str]) -> Mapping[DeliveryStatus, int]: ...

    async def endings(self, tenant: str, deliveries: Sequence[str]) -> Mapping[Ending, int]:
        """What the requests of these deliveries came to, and how often, the first ones first."""
        ...

    async def last_attempts(self, tenant: str, delivery: str, count: int) -> Sequence[Attempt]:
        """The last requests of a delivery that have come to their end, in their order."""
        ...

    async def given_up(self, tenant: str, deliveries: Sequence[str], count: int) -> Sequence[str]:
        """Those of the deliveries that are dead letters, so many at the most."""
        ...

    async def transfer_ownership(
        self, tenant: str, owner: str, deliveries: Mapping[str, int], owners: Mapping[str, str]
    ) -> None:
        """Give each delivery the owner named for it where its attempts number as many as said."""
        ...

    async def handed_off(self, tenant: str, owner: str, deliveries: Sequence[str]) -> Sequence[HandedOff]:
        """Those of the deliveries that are open and belong to another workflow."""
        ...

    async def hand_over(self, tenant: str, owner: str, deliveries: Sequence[str], to: str) -> None:
        """Make the workflow `to` the owner of what is still open, as batches of earlier versions left it to be done."""
        ...

    async def withdraw(self, tenant: str, owner: str, deliveries: Sequence[str], now: datetime) -> int:
        """Cancel what can still be cancelled. How many have a request under way of a worker that lives: it has to end
        first. What a lost worker left is cancelled, with a line in its log.
        """
        ...


class EndpointHealth(Protocol):
    async def note(self, endpoint: Endpoint, exchanges: Sequence[Exchange], now: datetime) -> None:
        """Take in what a wave of requests says about the endpoint: the rolling window, its breaker, its concurrency,
        a pause that it asked for, a 410 that disables it at once, too long a failure that disables it, the notices.

        May be called twice. Called after the outcomes are recorded.
        """
        ...

    async def claim_probe(self, endpoint: Endpoint, now: datetime) -> bool:
        """Whether this caller may try an endpoint whose breaker is half open. One caller wins."""
        ...
