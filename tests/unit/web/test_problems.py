"""Errors as problems: every error of ours has its status, and tells no more than it should."""

from __future__ import annotations

import orjson
import pytest

from hermod.contracts.errors import (
    Conflict,
    FieldError,
    HermodError,
    IdempotencyMismatch,
    InvalidInput,
    MaybeStored,
    NotFound,
    Unauthorized,
    Unavailable,
)
from starter.notifications.parsing import MalformedJson
from web.problems import UNEXPECTED, BodyTooLarge, problem_of


def all_errors(of: type[HermodError]) -> set[type[HermodError]]:
    return {of}.union(*(all_errors(kind) for kind in of.__subclasses__()))


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidInput.of("to", "missing"), 422, "invalid-input"),
        (IdempotencyMismatch(), 422, "idempotency-mismatch"),
        (MalformedJson("not JSON"), 400, "malformed-json"),
        (BodyTooLarge("larger"), 413, "body-too-large"),
        (NotFound("no such message"), 404, "not-found"),
        (Conflict("it is sent"), 409, "conflict"),
        (Unauthorized("no such key"), 401, "unauthorized"),
        (Unavailable("no database"), 503, "unavailable"),
        (MaybeStored("no answer"), 503, "maybe-stored"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, HermodError) else "",
)
def test_error_of_ours_has_its_problem(error: HermodError, status: int, kind: str) -> None:
    response = problem_of(error).response("req_1")
    body = orjson.loads(bytes(response.body))
    assert (response.status_code, response.media_type) == (status, "application/problem+json")
    assert (body["status"], body["type"]) == (status, f"urn:hermod:problem:{kind}")
    assert body["request_id"] == "req_1"
    assert ("errors" in body) == isinstance(error, InvalidInput)


def test_error_is_added_to_the_tree_has_a_problem() -> None:
    unknown = [kind.__name__ for kind in all_errors(HermodError) - {HermodError} if _problem(kind) is UNEXPECTED]
    assert unknown == []


def _problem(kind: type[HermodError]) -> object:
    return problem_of(kind.__new__(kind)) if not issubclass(kind, InvalidInput) else None


def test_many_fields_are_wrong_the_detail_stays_short() -> None:
    errors = [FieldError(f"field{number}", "missing") for number in range(50)]
    problem = problem_of(InvalidInput(errors))
    assert problem.detail == "field0: missing (and 49 more, see errors)"
    assert len(problem.errors) == 50
