"""`/v1/forms/{id}/submissions` and `/v1/submissions`: what visitors have entered, and what became of it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.errors import NotFound
from hermod.contracts.forms.forms import (
    MAX_DATA_BYTES,
    FormId,
    SubmissionPage,
    SubmissionReceipt,
    SubmissionStatus,
    SubmissionSummary,
    SubmissionView,
)
from hermod.contracts.notifications.dead_letters import ErrorCode, ManySubmissions
from hermod.contracts.values.model import Model
from hermod.contracts.values.scalars import Instant
from starter.forms.submissions import (
    discard_submission,
    release_submission,
    retry_submission,
    submission,
    submissions,
    submit,
)
from starter.idempotency import KEY_HEADER
from web.authentication import Caller
from web.bodies import MIB, answer, read_json_body
from web.context import context_of
from web.dead_letters import many, moved
from web.examples import IDEMPOTENCY_KEY, SCHEMAS
from web.ingress.forms.forms import FormName
from web.reference import answers, id_pattern

MAX_SUBMISSION_BYTES: Final = 6 * MAX_DATA_BYTES + MIB // 2
"""What is counted is the data, not how they are written: a character may come as `\\u0061`, with spaces between."""

router: Final = APIRouter(prefix="/v1", tags=["forms"])
SubmissionId = Annotated[
    str,
    Path(
        description="`sub_…`, as the answer to the submission said.", alias="id", json_schema_extra=id_pattern("sub_")
    ),
]

_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "SubmissionInput"},
            "examples": {
                "submission": {
                    "summary": "What a visitor entered",
                    "value": {
                        "data": {"email": "ada@example.com", "name": "Ada"},
                        "session": "s-81f2c9d07a",
                        "contact": "customer-42",
                        "remote_address": "203.0.113.7",
                        "metadata": {"page": "/pricing"},
                    },
                }
            },
        }
    },
}


class SubmissionQuery(Model):
    """What a list may be narrowed to."""

    form: FormId | None = Field(default=None, description="Of this form.")
    status: SubmissionStatus | None = Field(
        default=None, description="With it, those that were discarded are left out, unless `discarded` says otherwise."
    )
    error_code: ErrorCode | None = Field(default=None, description="Why they failed.")
    since: Instant | None = Field(default=None, description="Accepted from then on.")
    until: Instant | None = Field(default=None, description="Accepted before then.")
    discarded: bool | None = Field(default=None, description="Only those that were discarded, or only the others.")
    cursor: Annotated[str, Field(pattern=r"^sub_[0-9a-f]{28}$")] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50


@router.post(
    "/forms/{id}/submissions",
    summary="Submit a form",
    status_code=202,
    responses=answers(
        {202: (SubmissionReceipt, "Stored. It is processed, whatever happens from now on.")},
        *(400, 401, 404, 413, 422, 429, 503),
    ),
    openapi_extra={"requestBody": _BODY, "parameters": [IDEMPOTENCY_KEY]},
)
async def submit_form(name: FormName, request: Request, hermod: Caller) -> Response:
    """`data` is checked against the form's schema; `errors` names each wrong field. With an `Idempotency-Key`, the same
    submission again gives the same answer, and another one is refused.

    `remote_address` is the visitor's, for the rate of the form's spam guard; it is kept nowhere. What fills the
    form's honeypot is stored as `spam`, and nothing comes of it but word of money, until somebody says that it is none.
    """
    given = await read_json_body(request, MAX_SUBMISSION_BYTES)
    key = request.headers.get(KEY_HEADER)
    receipt = await submit(hermod, name, given, idempotency_key=key, request_id=context_of(request).request_id)
    return answer(receipt, 202)


@router.get(
    "/submissions",
    summary="List submissions",
    responses=answers({200: (SubmissionPage, "Newest first.")}, 401, 422, 503),
)
async def list_submissions(hermod: Caller, query: Annotated[SubmissionQuery, Query()]) -> Response:
    """The dead letters are those with the status `failed`."""
    return answer(await submissions(hermod, **{name: getattr(query, name) for name in SubmissionQuery.model_fields}))


@router.get(
    "/submissions/{id}",
    summary="A submission",
    responses=answers({200: (SubmissionView, "What was entered, and what became of it.")}, 401, 404, 503),
)
async def show_submission(own: SubmissionId, hermod: Caller) -> Response:
    return answer(await submission(hermod, _known(own)))


_MOVE: Final[dict[str, Any]] = {
    "status_code": 202,
    "responses": answers({202: (SubmissionSummary, "Done, and durable.")}, 401, 404, 409, 503),
}


@router.post("/submissions/{id}/retry", summary="Process a submission again", **_MOVE)
async def retry_failed_submission(own: SubmissionId, hermod: Caller) -> Response:
    """Begins a dead letter again, at the step that failed."""
    return answer(await retry_submission(hermod, _known(own)), 202)


@router.post("/submissions/{id}/discard", summary="Discard a dead letter", **_MOVE)
async def discard_failed_submission(own: SubmissionId, hermod: Caller) -> Response:
    """Takes a dead letter off the list by status; its record stays."""
    return answer(await discard_submission(hermod, _known(own)), 202)


@router.post("/submissions/retry", summary="Retry dead letters, many at once", **many("ManySubmissions"))
async def retry_submissions(request: Request, hermod: Caller) -> Response:
    """Begins what matches again at the step that failed, the oldest first. With `dry_run` it is only counted."""
    return await moved(request, hermod, "retry", ManySubmissions)


@router.post("/submissions/discard", summary="Discard dead letters, many at once", **many("ManySubmissions"))
async def discard_submissions(request: Request, hermod: Caller) -> Response:
    """Takes what matches off the list by status, the oldest first; the records stay."""
    return await moved(request, hermod, "discard", ManySubmissions)


@router.post(
    "/submissions/{id}/not-spam",
    summary="Say that a submission is no spam",
    status_code=202,
    responses=answers({202: (SubmissionSummary, "Done, and durable.")}, 401, 404, 409, 422, 503),
)
async def release_caught_submission(own: SubmissionId, hermod: Caller) -> Response:
    """It is processed as if it came now, without what filled the honeypot, which `caught_by` keeps. What does not fit
    the form as it is now is refused, with each field by name.
    """
    return answer(await release_submission(hermod, _known(own)), 202)


def _known(own: str) -> str:
    """An id that could be one. What could not never reaches the database."""
    if len(own) > 64 or not (own.isascii() and own.isprintable()):
        raise NotFound("there is no such submission")
    return own
