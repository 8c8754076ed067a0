"""The call to a user's own backend, to the byte, and what its answers mean."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import orjson
import pytest

from hermod.contracts.forms.forms import SubmissionStatus, SubmissionTerms
from hermod.domain.forms.submissions import SubmissionState
from hermod.outbound.backend import HttpBackend
from hermod.outbound.http.client import Reply
from hermod.ports.forms.submissions import BackendAway, BackendRefused, SubmissionRecord

RECORD = SubmissionRecord(
    tenant="demo",
    id="sub_1",
    form="signup",
    form_revision=3,
    status=SubmissionStatus.PROCESSING,
    standing=SubmissionState(
        saved=False, awaits_payment=False, payment=None, expires_at=None, failures=0, refunds=0, told=frozenset()
    ),
    terms=SubmissionTerms(name="Sign up"),
    data={"email": "ada@example.com"},
    metadata={"page": "/"},
    payment=None,
    session="s-12345678",
    contact=None,
    request_id="req-1",
    backend_id=None,
    changed_at=datetime(2030, 5, 1, tzinfo=UTC),
    created_at=datetime(2030, 5, 1, tzinfo=UTC),
    paid_at=None,
    failed_run=None,
    reason=None,
    fencing_token=1,
    payment_version=0,
    untold=False,
)


def backend(token: str | None = "token") -> HttpBackend:
    return HttpBackend("https://api.example.com/v2/", token)


def reply(status: int, body: object = None, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Reply(status=status, headers=httpx.Headers(named), body=raw)


def test_request_is_as_django_takes_it() -> None:
    request = backend().request(RECORD)
    assert (request.method, str(request.url)) == ("POST", "https://api.example.com/v2/submissions/")
    assert request.headers["authorization"] == "Token token"
    assert request.headers["idempotency-key"] == "sub_1"
    assert request.headers["x-request-id"] == "req-1"
    assert orjson.loads(request.content) == {
        "id": "sub_1",
        "tenant": "demo",
        "form": "signup",
        "form_revision": 3,
        "session": "s-12345678",
        "contact": None,
        "data": {"email": "ada@example.com"},
        "metadata": {"page": "/"},
        "submitted_at": "2030-05-01T00:00:00+00:00",
    }


def test_request_without_a_token_carries_none() -> None:
    assert "authorization" not in backend(None).request(RECORD).headers


@pytest.mark.parametrize(
    ("body", "own"),
    [
        ({"id": 7}, "7"),
        ({"id": "a-7"}, "a-7"),
        ({}, None),
        (b"", None),
        ([1], None),
        ({"id": True}, None),
        ({"id": "x\n"}, None),
    ],
)
def test_answer_is_good_its_id_is_kept_where_it_is_one(body: object, own: str | None) -> None:
    assert backend().outcome(reply(201, body)) == own


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_answer_says_later_it_is_asked_again(status: int) -> None:
    with pytest.raises(BackendAway) as away:
        backend().outcome(reply(status, None, retry_after="90"))
    assert (away.value.code, away.value.retry_after) == (f"backend_{status}", 90.0)


@pytest.mark.parametrize("status", [301, 302, 401, 403, 404, 405])
def test_wrong_address_or_token_keeps_the_submission_and_says_what_to_check(status: int) -> None:
    with pytest.raises(BackendAway, match="check API_URL and API_TOKEN"):
        backend().outcome(reply(status))


@pytest.mark.parametrize("status", [400, 402, 409, 410, 413, 422])
def test_answer_is_a_refusal_it_is_final(status: int) -> None:
    with pytest.raises(BackendRefused) as refusal:
        backend().outcome(reply(status))
    assert (refusal.value.code, str(refusal.value)) == (f"backend_{status}", f"the backend answered {status}")


def test_refusal_names_fields_and_quotes_nothing() -> None:
    body = {"email": ["ada@example.com is taken"], "non_field_errors": ["x"], "ada@example.com": ["y"]}
    with pytest.raises(BackendRefused, match=r"^the backend answered 400 about email, non_field_errors$"):
        backend().outcome(reply(400, body))
