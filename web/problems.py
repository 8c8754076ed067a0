"""Errors as RFC 9457 problems: one table from what went wrong to status, type and title."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from math import ceil
from typing import Any, Final

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.errors import (
    Conflict,
    FieldError,
    Gone,
    HermodError,
    IdempotencyMismatch,
    InvalidInput,
    MaybeStored,
    NewerRecord,
    NotFound,
    TooMany,
    Unauthorized,
    Unavailable,
    Unreadable,
)
from starter.forms.payments import ForgedEvent, RefusedEvent
from starter.notifications.parsing import MalformedJson
from starter.notifications.receipts import MalformedReport
from starter.validation_errors import parameter_errors
from web.context import context_of

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = 2
"""Seconds after which a caller may ask again while one of our servers is away."""


class BodyTooLarge(HermodError):
    """The body is larger than this call takes."""


class BodyTooSlow(HermodError):
    """The body did not come in time."""


class NotJson(HermodError):
    """The body is said to be something else."""

    takes = ("accept", "application/json")
    """The header that says what would be taken, after RFC 9110."""


class Compressed(NotJson):
    """The body is said to be compressed."""

    takes = ("accept-encoding", "identity")


class FieldProblem(BaseModel):
    """One wrong field."""

    field: str = Field(description="Its path in the body, or the name of a header or parameter.")
    message: str = Field(description="What to write instead.")


class ProblemView(BaseModel):
    """An error, after RFC 9457 (`application/problem+json`)."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(description="Which kind of problem: `urn:hermod:problem:<kind>`.")
    title: str
    status: int
    detail: str = Field(description="What went wrong this time, for people.")
    request_id: str = Field(description="The same as the header X-Request-Id; the logs have it too.")
    errors: list[FieldProblem] = Field(default=[], description="For a wrong input: each wrong field.")


@dataclass(frozen=True, slots=True)
class Problem:
    """`kind` is the end of the type: `urn:hermod:problem:<kind>`."""

    status: int
    kind: str
    title: str
    detail: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": f"urn:hermod:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors:
            body["errors"] = [error._asdict() for error in self.errors]
        return body

    def response(self, request_id: str) -> Response:
        return Response(orjson.dumps(self.body(request_id)), self.status, self.headers, MEDIA_TYPE)


UNEXPECTED: Final = Problem(
    500, "unexpected", "Something went wrong", "the error is in our log under this request_id; the call may be repeated"
)
_TABLE: Final[tuple[tuple[type[HermodError], int, str, str], ...]] = (
    (IdempotencyMismatch, 422, "idempotency-mismatch", "The idempotency key belongs to another body"),
    (InvalidInput, 422, "invalid-input", "The input is wrong"),
    (MalformedJson, 400, "malformed-json", "The body is not JSON"),
    (MalformedReport, 400, "malformed-report", "The report cannot be read"),
    (ForgedEvent, 400, "wrong-signature", "The signature is wrong"),
    (RefusedEvent, 400, "refused-event", "The event cannot be taken"),
    (BodyTooSlow, 408, "body-too-slow", "The body did not come in time"),
    (BodyTooLarge, 413, "body-too-large", "The body is too large"),
    (NotJson, 415, "unsupported-media-type", "The body is not said to be JSON"),
    (NotFound, 404, "not-found", "There is no such thing"),
    (Gone, 410, "gone", "It is no longer there"),
    (Conflict, 409, "conflict", "The state forbids it"),
    (Unauthorized, 401, "unauthorized", "The credentials are missing or wrong"),
    (TooMany, 429, "too-many", "Too often for now"),
    (Unreadable, 500, "unreadable", "The record cannot be read"),
    (NewerRecord, 503, "newer-record", "A later version has stored the record"),
    (MaybeStored, 503, "maybe-stored", "It is not known whether it was done"),
    (Unavailable, 503, "unavailable", "Try again in a moment"),
)
_HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"www-authenticate": 'Bearer realm="hermod"'},
    408: {"connection": "close"},
    413: {"connection": "close"},  # the rest of the body is on its way, and nobody will read it
    503: {"retry-after": str(RETRY_AFTER)},
}


def problem_of(error: HermodError) -> Problem:
    for kind, status, name, title in _TABLE:
        if isinstance(error, kind):
            errors = error.errors if isinstance(error, InvalidInput) else ()
            return Problem(status, name, title, _detail(error, errors), errors, _headers(error, status))
    return UNEXPECTED


def _headers(error: HermodError, status: int) -> Mapping[str, str]:
    if isinstance(error, NotJson):
        return dict([error.takes])
    if isinstance(error, TooMany):
        return {"retry-after": str(max(1, ceil(error.retry_after)))}
    return _HEADERS.get(status, {})


async def answer_hermod_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HermodError)  # noqa: S101 - registered for these only
    return problem_of(error).response(context_of(request).request_id)


def http_problem(request: Request, error: HTTPException, headers: Mapping[str, str]) -> Response:
    """What the framework refuses: an unknown path, a method that a path does not have."""
    status = HTTPStatus(error.status_code)
    details = {404: f"there is nothing at {request.url.path[:200]}", 405: f"{request.method} is not possible here"}
    problem = Problem(
        status.value,
        status.phrase.lower().replace(" ", "-"),
        status.phrase,
        details.get(status.value, str(error.detail)),
        headers=headers,
    )
    return problem.response(context_of(request).request_id)


async def answer_wrong_parameters(request: Request, error: Exception) -> Response:
    """Path and query parameters, which the framework checks. Its own words would name their types in Python."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for these only
    wrong = InvalidInput(parameter_errors(error.errors()))
    return problem_of(wrong).response(context_of(request).request_id)


def _detail(error: HermodError, errors: Sequence[FieldError]) -> str:
    if len(errors) <= 1:
        return str(error)
    return f"{errors[0].field}: {errors[0].message} (and {len(errors) - 1} more, see errors)"
