"""Builds the request of one attempt: what is signed here is what leaves, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final

from hermod.outbound.webhooks.signatures import ID, SIGNATURE, TIMESTAMP, signature_header
from hermod.ports.webhooks.ledger import DeliveryItem, Endpoint, Post
from hermod.version import product_version

ATTEMPT: Final = "webhook-attempt"
SHOWN_HEADERS: Final = frozenset({ID, TIMESTAMP, ATTEMPT, "content-type", "user-agent", "x-request-id"})
"""Of the headers of a request, those whose values may be shown to everyone who may read the log of attempts."""
USUAL_HEADERS: Final = frozenset({"content-type", "user-agent"})
"""Ours, unless an endpoint has its own."""
RESERVED_HEADERS: Final = (SHOWN_HEADERS - USUAL_HEADERS) | {
    SIGNATURE,
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
"""Names that a custom header cannot have: ours, and those that say how the request itself is transferred."""


def post_for(endpoint: Endpoint, item: DeliveryItem, attempt: int, now: datetime) -> Post:
    """The request for the `attempt`th attempt, counted from 1. Raises ValueError for a key that is none.

    The delivery's id is the message's id: it is the same for every attempt, and another one for another endpoint.
    The timestamp is that of the attempt, since receivers refuse old ones. A repetition asks for a connection of its
    own: the kept one may be what failed.
    """
    timestamp = int(now.timestamp())
    own = {name.lower() for name in endpoint.headers}
    usual = (("content-type", "application/json"), ("user-agent", _user_agent()))
    ours = [
        (ID, item.id),
        (TIMESTAMP, str(timestamp)),
        (SIGNATURE, signature_header(endpoint.keys, item.id, timestamp, item.body)),
        (ATTEMPT, str(attempt)),
        *((name, value) for name, value in usual if name not in own),
        ("x-request-id", item.request_id or item.id),
    ]
    return Post(
        url=endpoint.url,
        headers=(*ours, *_custom(endpoint)),
        body=item.body,
        deadline=endpoint.timeout,
        fresh=attempt > 1,
    )


def _custom(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """Refused names are refused when an endpoint is changed; one that was stored before its name was, stays behind."""
    for name, value in endpoint.headers.items():
        if name.lower() not in RESERVED_HEADERS:
            yield name, value


@lru_cache(maxsize=1)
def _user_agent() -> str:
    return f"Hermod/{product_version()}"
