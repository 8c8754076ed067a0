"""An attempt of a webhook delivery as a script around curl, for whoever looks into what a receiver does with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hermod.domain.webhooks.curl import as_script
from hermod.outbound.webhooks.headers import MASK
from hermod.outbound.webhooks.requests import ATTEMPT
from hermod.outbound.webhooks.signatures import ID, SIGNATURE, TIMESTAMP
from hermod.storage.webhooks.requests import AttemptRequest
from starter.client import Hermod

_ALWAYS: Final = (ID, TIMESTAMP, SIGNATURE)
"""They are made anew, whether the log has them or not."""


async def attempt_as_curl(hermod: Hermod, delivery: str, attempt: int | None = None) -> str:
    """The script for the attempt of that number, or for the last one. Raises NotFound."""
    request = await hermod.core.storage.webhook_requests.request(hermod.tenant, delivery, attempt)
    which = f"attempt {request.number}" if request.number is not None else "the first attempt"
    headers = _headers(delivery, request)
    masked = {*request.custom, *(name for name, value in headers if MASK in value)}
    return as_script(f"{which} of {delivery}", request.url, headers, request.body, masked=masked, identity=delivery)


def _headers(delivery: str, request: AttemptRequest) -> Sequence[tuple[str, str]]:
    sent = {
        "content-type": "application/json",
        ATTEMPT: str(request.number or 1),
        **dict.fromkeys(request.custom, MASK),
    }
    others = {name: value for name, value in (request.headers or sent).items() if name not in _ALWAYS}
    return [(ID, delivery), (TIMESTAMP, MASK), (SIGNATURE, MASK), *others.items()]
