"""`/v1/messages`: hand messages over, ask what became of them, and the moves that people make."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.errors import FieldError, InvalidInput, NotFound
from hermod.contracts.notifications.dead_letters import ManyMessages
from hermod.contracts.notifications.messages import (
    MAX_BATCH,
    MessageSummary,
    MessageView,
    Narrowed,
    Page,
    Receipt,
    Resolution,
    Status,
    Submission,
)
from hermod.contracts.values.model import Model
from starter.client import BatchReceipt, Rejected
from starter.idempotency import KEY_HEADER, checked_batch_key
from starter.notifications.parsing import KEY_FIELD, checked, keyed_message_from, message_from
from web.authentication import Caller
from web.bodies import MIB, answer, read_json_body
from web.context import context_of
from web.dead_letters import many, moved
from web.examples import BATCH_BODY, BATCH_KEY, IDEMPOTENCY_KEY, MESSAGE_BODY
from web.problems import FieldProblem
from web.reference import answers, id_pattern

MAX_MESSAGE_BYTES: Final = 16 * MIB
MAX_BATCH_BYTES: Final = 32 * MIB
MAX_MOVE_BYTES: Final = 4 * 1024
_SLICE: Final = 50
"""Messages checked at a stretch, some milliseconds; then other requests have their turn."""

router: Final = APIRouter(prefix="/v1/messages", tags=["messages"])
MessageId = Annotated[
    str,
    Path(description="`msg_…`, as the answer to the message said.", alias="id", json_schema_extra=id_pattern("msg_")),
]


class MessageQuery(Narrowed):
    """What a list may be narrowed to."""

    cursor: Annotated[str, Field(pattern=r"^msg_[0-9a-f]{28}$")] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class AcceptedItem(Model):
    """A message of a batch that was taken."""

    index: int
    id: str
    status: Status
    workflow_id: str


class RejectedItem(Model):
    """A message of a batch that was not taken, and why."""

    index: int
    errors: tuple[FieldProblem, ...]


class BatchAnswer(Model):
    """`accepted` counts; `messages` has the ids of what was taken, by place in the batch."""

    batch_id: str
    accepted: int
    rejected: tuple[RejectedItem, ...]
    messages: tuple[AcceptedItem, ...]


@router.post(
    "",
    summary="Send a message",
    status_code=202,
    responses=answers({202: (Receipt, "Stored. It is sent whatever happens from now on.")}, 400, 401, 413, 422, 503),
    openapi_extra={"requestBody": MESSAGE_BODY, "parameters": [IDEMPOTENCY_KEY]},
)
async def send_message(request: Request, hermod: Caller) -> Response:
    """Stores the message and starts its delivery. The answer comes when the message is durable.

    With an `Idempotency-Key`, the same body again gives the same answer and sends nothing; another body is refused.
    """
    given = await read_json_body(request, MAX_MESSAGE_BYTES)
    asked = message_from(given, idempotency_key=request.headers.get(KEY_HEADER), key_field=KEY_HEADER)
    return answer(await hermod.take(asked, request_id=context_of(request).request_id), 202)


@router.post(
    "/batch",
    summary="Send up to 5,000 messages",
    status_code=202,
    responses=answers({202: (BatchAnswer, "The good ones are stored.")}, 400, 401, 413, 422, 503),
    openapi_extra={"requestBody": BATCH_BODY, "parameters": [BATCH_KEY]},
)
async def send_batch(request: Request, hermod: Caller) -> Response:
    """Takes every message that is right; the others come back in `rejected`, each with its place and its errors.

    A message may carry its own `idempotency_key`. An `Idempotency-Key` header stands for all that have none: the
    message at place 3 then has the key `<header>#3`, so that the same batch can be repeated safely.
    """
    given = _messages_of(await read_json_body(request, MAX_BATCH_BYTES))
    good, rejected = await _sorted_out(given, checked_batch_key(request.headers.get(KEY_HEADER)))
    receipt = await hermod.take_many([asked for _, asked in good], request_id=context_of(request).request_id)
    return answer(_batch_answer([index for index, _ in good], receipt, rejected), 202)


@router.get(
    "",
    summary="List messages",
    responses=answers({200: (Page, "Newest first.")}, 401, 422, 503),
)
async def list_messages(hermod: Caller, query: Annotated[MessageQuery, Query()]) -> Response:
    """With a `status`, discarded dead letters are left out: `discarded=true` lists those."""
    narrowed = {name: getattr(query, name) for name in Narrowed.model_fields}
    return answer(await hermod.messages(**narrowed, cursor=query.cursor, limit=query.limit))


@router.get(
    "/{id}",
    summary="A message's story",
    responses=answers({200: (MessageView, "The whole story.")}, 401, 404, 503),
)
async def show_message(message: MessageId, hermod: Caller) -> Response:
    """Where it is, every request that was made for it, every decision about it, and what comes next."""
    return answer(await hermod.status(_known(message)))


_MOVE: Final[dict[str, Any]] = {
    "status_code": 202,
    "responses": answers({202: (Receipt, "Done, and durable.")}, 401, 404, 409, 503),
}


@router.post("/{id}/cancel", summary="Cancel a message", **_MOVE)
async def cancel_message(message: MessageId, hermod: Caller) -> Response:
    """Withdraws a message that waits. One that is on its way to the provider, or has ended, stays as it is (409)."""
    return answer(await hermod.cancel(_known(message)), 202)


@router.post("/{id}/retry", summary="Retry a dead letter", **_MOVE)
async def retry_message(message: MessageId, hermod: Caller) -> Response:
    """Begins a failed message again, with all its attempts."""
    return answer(await hermod.retry(_known(message)), 202)


@router.post(
    "/{id}/resolve",
    summary="Say what became of a message",
    status_code=202,
    responses=answers({202: (Receipt, "Done, and durable.")}, 400, 401, 404, 409, 413, 422, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Resolution"}}},
        }
    },
)
async def resolve_message(message: MessageId, request: Request, hermod: Caller) -> Response:
    """For a message whose outcome is unknown: `sent` ends it, `not_sent` sends it again."""
    resolution = checked(Resolution, await read_json_body(request, MAX_MOVE_BYTES))
    return answer(await hermod.resolve(_known(message), resolution), 202)


@router.post(
    "/{id}/discard",
    summary="Discard a dead letter",
    status_code=202,
    responses=answers({202: (MessageSummary, "Done, and durable.")}, 401, 404, 409, 503),
)
async def discard_message(message: MessageId, hermod: Caller) -> Response:
    """Takes a message off the lists by status that failed, or whose outcome is unknown; its record stays."""
    return answer(await hermod.discard(_known(message)), 202)


@router.post("/retry", summary="Retry dead letters, many at once", **many("ManyMessages"))
async def retry_messages(request: Request, hermod: Caller) -> Response:
    """Begins what matches again, the oldest first. With `dry_run` it is only counted.

    Messages whose outcome is unknown are not among them: they may have been sent, so each is resolved.
    """
    return await moved(request, hermod, "retry", ManyMessages)


@router.post("/discard", summary="Discard dead letters, many at once", **many("ManyMessages"))
async def discard_messages(request: Request, hermod: Caller) -> Response:
    """Takes what matches off the lists by status, the oldest first; the records stay."""
    return await moved(request, hermod, "discard", ManyMessages)


def _known(message: str) -> str:
    """An id that could be one. What could not never reaches the database."""
    if len(message) > 64 or not (message.isascii() and message.isprintable()):
        raise NotFound("there is no such message")
    return message


def _messages_of(given: object) -> list[object]:
    """The messages of a batch's body. Raises InvalidInput where the body as a whole is wrong."""
    if not isinstance(given, dict):
        raise InvalidInput.of("body", "must be an object with a list of messages")
    wrong = [FieldError(str(name)[:200], "there is no such field") for name in given if name != "messages"]
    messages = given.get("messages")
    if not isinstance(messages, list):
        wrong.append(FieldError("messages", "missing" if "messages" not in given else "must be a list"))
    elif not 1 <= len(messages) <= MAX_BATCH:
        wrong.append(FieldError("messages", f"must have 1 to {MAX_BATCH} messages; there are {len(messages)}"))
    if wrong or not isinstance(messages, list):
        raise InvalidInput(wrong[:100])
    return messages


async def _sorted_out(
    given: list[object], key: str | None
) -> tuple[list[tuple[int, Submission]], dict[int, tuple[FieldError, ...]]]:
    """The good messages with their places, and the errors of the others by place."""
    good: list[tuple[int, Submission]] = []
    rejected: dict[int, tuple[FieldError, ...]] = {}
    for index, one in enumerate(given):
        if index % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
        try:
            good.append((index, keyed_message_from(one, default_key=f"{key}#{index}" if key is not None else None)))
        except InvalidInput as wrong:
            rejected[index] = wrong.errors
    return good, rejected


def _batch_answer(places: list[int], receipt: BatchReceipt, rejected: dict[int, tuple[FieldError, ...]]) -> BatchAnswer:
    """Put what was found before and what was found while storing under the places of the caller's list."""
    refused = {places[one.index]: _renamed(one) for one in receipt.rejected}
    taken = [place for place in places if place not in refused]
    return BatchAnswer(
        batch_id=receipt.batch_id,
        accepted=len(taken),
        rejected=tuple(
            RejectedItem(index=index, errors=tuple(FieldProblem(**error._asdict()) for error in errors))
            for index, errors in sorted((rejected | refused).items())
        ),
        messages=tuple(
            AcceptedItem(index=place, id=one.id, status=one.status, workflow_id=one.workflow_id)
            for place, one in zip(taken, receipt.receipts, strict=True)
        ),
    )


def _renamed(rejected: Rejected) -> tuple[FieldError, ...]:
    """A message in a batch has its key in a field, not in a header."""
    return tuple(error._replace(field=KEY_FIELD) if error.field == KEY_HEADER else error for error in rejected.errors)
