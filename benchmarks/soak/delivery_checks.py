"""What is promised about webhook deliveries, held against what the receivers have got. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.soak.accepted import Accepted


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as it is on record."""

    id: str
    endpoint: str
    """Its name."""
    status: str
    order_key: str | None
    place: int
    outcomes: Sequence[str | None]
    """Of its attempts, in their order; None: the answer is awaited."""
    codes: Sequence[int | None]
    """The statuses that were answered."""


@dataclass(frozen=True, slots=True)
class Received:
    """The receivers' record, by delivery id."""

    requests: Mapping[str, int]
    answered: Mapping[str, int]
    succeeded: Mapping[str, int]
    order: Mapping[str, int]
    """The place of a delivery's first request among all first requests."""


def broken(
    deliveries: Mapping[str, Delivery], received: Received, accepted: Accepted, replayed: frozenset[str]
) -> Iterator[str]:
    """Every broken promise, in a line each. `replayed`: endpoints whose deliveries were sent again on request."""
    yield from (f"{own} was accepted and is not on record" for own in sorted(accepted.deliveries - deliveries.keys()))
    for own in sorted(received.requests - deliveries.keys()):
        yield f"{own} was never on record and reached a receiver"
    for delivery in deliveries.values():
        asked_again = delivery.endpoint in replayed or delivery.id in accepted.retried
        for fault in _faults(delivery, received, asked_again):
            tried = ", ".join(map(str, delivery.outcomes)) or "no attempt"
            yield f"{delivery.id} to {delivery.endpoint} ({delivery.status}, {tried}) {fault}"
    yield from _disorder(deliveries.values(), received.order)


def _faults(delivery: Delivery, received: Received, asked_again: bool) -> Iterator[str]:
    requests, answered = received.requests.get(delivery.id, 0), received.answered.get(delivery.id, 0)
    succeeded = received.succeeded.get(delivery.id, 0)
    answers = sum(code is not None for code in delivery.codes)
    doubts = len(delivery.codes) - answers
    if requests > len(delivery.outcomes):
        yield f"made {requests} requests, and {len(delivery.outcomes)} are on record"
    if answered < answers:
        yield f"has {answers} answers on record, and the receiver gave {answered}"
    if delivery.status == "delivered" and not succeeded:
        yield "counts as delivered, and the receiver never said so"
    if succeeded > 1 + doubts and not asked_again:
        yield f"was taken {succeeded} times, and {doubts} answers are in doubt"


def _disorder(deliveries: Iterable[Delivery], order: Mapping[str, int]) -> Iterator[str]:
    """Deliveries that came before one that was accepted earlier under the same key."""
    lines: defaultdict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        if delivery.order_key is not None and delivery.id in order:
            lines[delivery.order_key].append(delivery)
    for line in lines.values():
        line.sort(key=lambda delivery: delivery.place)
        for earlier, later in pairwise(line):
            if order[earlier.id] > order[later.id]:
                yield f"{later.id} to {later.endpoint} came before {earlier.id}, which was accepted before it"


def outcomes(deliveries: Iterable[Delivery]) -> dict[str, int]:
    """Deliveries by how they stand, with their endpoint where they are not delivered."""
    ends = Counter(
        delivery.status if delivery.status == "delivered" else f"{delivery.status} ({delivery.endpoint})"
        for delivery in deliveries
    )
    return dict(ends.most_common())


def repeats(deliveries: Iterable[Delivery]) -> dict[str, int]:
    """Requests that followed another one of the same delivery, by what that had come to."""
    before = Counter(
        f"{outcome} {code}" if outcome == "http_error" else str(outcome)
        for delivery in deliveries
        for outcome, code in zip(delivery.outcomes[:-1], delivery.codes[:-1], strict=True)
    )
    return dict(before.most_common())
