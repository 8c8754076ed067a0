"""Retrying and discarding many dead letters: one call for messages, webhook deliveries and submissions alike."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.notifications.dead_letters import ManyDeliveries, ManyMessages, ManySubmissions, Moved
from starter.client import Hermod
from starter.dead_letters import Verb, move_dead_letters
from starter.notifications.parsing import checked
from web.bodies import answer, read_json_body
from web.examples import SCHEMAS
from web.reference import answers

MAX_FILTER_BYTES: Final = 128 * 1024
_FILTERS: Final = {
    "ManyMessages": {"error_code": "throttled", "channel": "email", "since": "2030-05-01T00:00:00Z"},
    "ManyDeliveries": {"type": "order.*", "status_code": 503, "since": "2030-05-01T00:00:00Z"},
    "ManySubmissions": {"form": "order", "since": "2030-05-01T00:00:00Z"},
}


def many(model: str) -> dict[str, Any]:
    """What the reference says of such a call, with a body of this model."""
    example = {"filter": _FILTERS[model], "dry_run": True}
    return {
        "status_code": 202,
        "responses": answers({202: (Moved, "Done, and durable.")}, 400, 401, 413, 422, 503),
        "openapi_extra": {
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": SCHEMAS + model}, "example": example}},
            }
        },
    }


async def moved(
    request: Request, hermod: Hermod, verb: Verb, model: type[ManyMessages | ManyDeliveries | ManySubmissions]
) -> Response:
    asked = checked(model, await read_json_body(request, MAX_FILTER_BYTES))
    return answer(await move_dead_letters(hermod, verb, asked), 202)
