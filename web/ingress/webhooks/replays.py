"""`/v1/webhook-endpoints/{id}/replay` and `/v1/webhook-replays`: send deliveries again, at a rate, by a filter."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.errors import NotFound
from hermod.contracts.values.model import Model
from hermod.contracts.webhooks.deliveries import EventId, ReplayInput, ReplayPage, ReplayStatus, ReplayView
from starter.notifications.parsing import checked
from starter.webhooks.replays import move_replay, replay, replay_status, replays
from web.authentication import Caller
from web.bodies import answer, read_json_body
from web.examples import SCHEMAS
from web.reference import answers, id_pattern

MAX_REPLAY_BYTES: Final = 64 * 1024

router: Final = APIRouter(tags=["webhooks"])
ReplayId = Annotated[
    str,
    Path(description="`rpl_…`, as the answer to the replay said.", alias="id", json_schema_extra=id_pattern("rpl_")),
]

_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "ReplayInput"},
            "examples": {
                "count": {
                    "summary": "How many would be sent again?",
                    "value": {"since": "2026-05-01T00:00:00Z", "dry_run": True},
                },
                "outage": {
                    "summary": "What a receiver missed in an outage",
                    "value": {
                        "since": "2026-05-01T00:00:00Z",
                        "until": "2026-05-01T06:00:00Z",
                        "types": ["order.*"],
                        "per_second": 20,
                    },
                },
            },
        }
    },
}


@router.post(
    "/v1/webhook-endpoints/{id}/replay",
    summary="Send deliveries again",
    status_code=202,
    responses=answers(
        {
            202: (ReplayView, "Begun; or the one that asks for the same and is under way."),
            200: (ReplayView, "A dry run: only `matching` counts."),
        },
        400,
        401,
        404,
        409,
        413,
        422,
        503,
    ),
    openapi_extra={"requestBody": _BODY},
)
async def replay_deliveries(
    endpoint: Annotated[str, Path(description="The endpoint's id.", alias="id", json_schema_extra=id_pattern("whe_"))],
    request: Request,
    hermod: Caller,
) -> Response:
    """Begins what failed or was parked again, the oldest first, with the same `webhook-id`, so that receivers know it.

    What is open is passed over, and what was delivered is sent again only where `status` says `delivered`; so asking
    twice does no harm. A disabled endpoint has to be enabled first (409).
    """
    asked = checked(ReplayInput, await read_json_body(request, MAX_REPLAY_BYTES))
    begun = await replay(hermod, _known(endpoint), asked)
    return answer(begun, 200 if asked.dry_run else 202)


class ReplayQuery(Model):
    """Which replays."""

    endpoint: EventId | None = Field(default=None, description="Only of this endpoint, `whe_…`.")
    status: ReplayStatus | None = None
    cursor: Annotated[str, StringConstraints(pattern=r"^rpl_[0-9a-f]{28}$")] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


@router.get(
    "/v1/webhook-replays",
    summary="List replays",
    responses=answers({200: (ReplayPage, "Newest first.")}, 401, 422, 503),
)
async def list_replays(hermod: Caller, query: Annotated[ReplayQuery, Query()]) -> Response:
    page = await replays(hermod, endpoint=query.endpoint, status=query.status, cursor=query.cursor, limit=query.limit)
    return answer(page)


@router.get(
    "/v1/webhook-replays/{id}",
    summary="A replay's progress",
    responses=answers({200: (ReplayView, "How far it has come.")}, 401, 404, 503),
)
async def show_replay(replay_id: ReplayId, hermod: Caller) -> Response:
    return answer(await replay_status(hermod, _known(replay_id)))


_MOVE: Final[dict[str, Any]] = {
    "status_code": 202,
    "responses": answers({202: (ReplayView, "Done, and durable.")}, 401, 404, 409, 503),
}


@router.post("/v1/webhook-replays/{id}/pause", summary="Pause a replay", **_MOVE)
async def pause_replay(replay_id: ReplayId, hermod: Caller) -> Response:
    """Begins no more deliveries until it is resumed. Those that were begun go on."""
    return answer(await move_replay(hermod, _known(replay_id), ReplayStatus.PAUSED), 202)


@router.post("/v1/webhook-replays/{id}/resume", summary="Resume a replay", **_MOVE)
async def resume_replay(replay_id: ReplayId, hermod: Caller) -> Response:
    """Goes on where it was paused; it also pauses by itself when its endpoint is disabled."""
    return answer(await move_replay(hermod, _known(replay_id), ReplayStatus.RUNNING), 202)


@router.post("/v1/webhook-replays/{id}/cancel", summary="Cancel a replay", **_MOVE)
async def cancel_replay(replay_id: ReplayId, hermod: Caller) -> Response:
    """Ends it where it is. Deliveries that were begun go on."""
    return answer(await move_replay(hermod, _known(replay_id), ReplayStatus.CANCELLED), 202)


def _known(record: str) -> str:
    """An id that could be one. What could not never reaches the database."""
    if len(record) > 64 or not (record.isascii() and record.isprintable()):
        raise NotFound("there is no such record")
    return record
