"""FCM's access tokens: the JWT, how long a token is used, who shares an exchange, and what a failed one means."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
import orjson
import pytest

from hermod.channels.access_tokens import AccessTokens, NoToken
from hermod.channels.http_sender import NoReply
from hermod.channels.push.fcm.access import token_request
from hermod.channels.push.fcm.service_account import service_account
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import AccountHalted, OutcomeUnknown, Throttled, Transient
from hermod.outbound.http.client import Reply
from tests.unit.channels.samples import CREDENTIALS, NOW, reply

ACCOUNT = service_account(CREDENTIALS["fcm"]["service_account"])


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


class Google:
    """Answers from a list, the last one again and again; by default with a new token each time."""

    def __init__(self, *answers: Reply | NoReply, expires_in: object = 3599) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers)
        self._expires_in = expires_in

    async def exchange(self, request: httpx.Request) -> Reply | NoReply:
        self.requests.append(request)
        await asyncio.sleep(0)
        if self._answers:
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        token = f"ya29.{len(self.requests)}"
        return reply(200, {"access_token": token, "expires_in": self._expires_in, "token_type": "Bearer"})


def tokens(google: Google, clock: Clock | None = None) -> AccessTokens:
    return AccessTokens(partial(token_request, ACCOUNT), google.exchange, clock or Clock())


async def failure(*answers: Reply | NoReply) -> Any:
    with pytest.raises(NoToken) as caught:
        await tokens(Google(*answers)).ensure()
    return caught.value.outcome


def test_request_is_what_google_documents() -> None:
    request = token_request(ACCOUNT, NOW)
    assert (request.method, str(request.url)) == ("POST", "https://oauth2.googleapis.com/token")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    form = parse_qs(request.content.decode(), strict_parsing=True)
    assert set(form) == {"grant_type", "assertion"}
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    (assertion,) = form["assertion"]
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "typ": "JWT", "kid": ACCOUNT.private_key_id}
    claims = jwt.decode(
        assertion,
        ACCOUNT.private_key.public_key(),
        algorithms=["RS256"],
        audience="https://oauth2.googleapis.com/token",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims == {
        "iss": "push@example-project.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 3600,
    }


@pytest.mark.parametrize(
    ("expires_in", "later", "exchanges"),
    [
        (3599, timedelta(seconds=3598 - 300), 1),
        (3599, timedelta(seconds=3599 - 300), 2),
        (10, timedelta(seconds=59), 1),
        (10, timedelta(seconds=60), 2),
        (None, timedelta(minutes=54), 1),
        ("soon", timedelta(minutes=55), 2),
        (10**9, timedelta(minutes=55), 2),
    ],
)
async def test_token_is_used_until_five_minutes_before_its_end(
    expires_in: object, later: timedelta, exchanges: int
) -> None:
    google, clock = Google(expires_in=expires_in), Clock()
    access = tokens(google, clock)
    assert await access.ensure() == "ya29.1"
    clock.time += later
    assert await access.ensure() == f"ya29.{exchanges}"
    assert len(google.requests) == exchanges


async def test_token_is_asked_for_once_by_all_who_need_it_at_the_same_time() -> None:
    google = Google()
    access = tokens(google)
    assert set(await asyncio.gather(*(access.ensure() for _ in range(20)))) == {"ya29.1"}
    await asyncio.gather(*(access.replace("ya29.1") for _ in range(20)))
    assert (access.value, len(google.requests)) == ("ya29.2", 2)


async def test_token_that_was_refused_but_is_replaced_already_is_not_asked_for_again() -> None:
    google = Google()
    access = tokens(google)
    await access.ensure()
    await access.replace("ya29.0")
    assert len(google.requests) == 1


async def test_exchange_that_fails_is_shared_and_the_next_tries_again() -> None:
    google = Google(reply(503), reply(200, {"access_token": "ya29.x", "expires_in": 3599}))
    access = tokens(google)
    first = await asyncio.gather(*(access.ensure() for _ in range(5)), return_exceptions=True)
    assert {type(outcome) for outcome in first} == {NoToken}
    assert await access.ensure() == "ya29.x"
    assert len(google.requests) == 2


async def test_exchange_whose_first_caller_gives_up_goes_on_for_the_others() -> None:
    access = tokens(Google())
    first, second = asyncio.create_task(access.ensure()), asyncio.create_task(access.ensure())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "ya29.1"


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, {"error": "invalid_grant", "error_description": "x"}, Outcome.ACCOUNT_HALTED, "invalid_grant"),
        (401, {"error": "invalid_client"}, Outcome.ACCOUNT_HALTED, "invalid_client"),
        (404, b"<html>", Outcome.ACCOUNT_HALTED, None),
        (302, b"", Outcome.ACCOUNT_HALTED, None),
        (429, {"error": "rate_limit_exceeded"}, Outcome.THROTTLED, "rate_limit_exceeded"),
        (408, b"", Outcome.TRANSIENT, None),
        (500, {"error": "internal_failure"}, Outcome.TRANSIENT, "internal_failure"),
        (503, b"", Outcome.TRANSIENT, None),
        (200, b'{"access_tok', Outcome.TRANSIENT, None),
        (200, {"access_token": 7.5}, Outcome.TRANSIENT, None),
        (200, {"access_token": "a\r\nx: 1"}, Outcome.TRANSIENT, None),
    ],
)
async def test_exchange_without_a_token_is_never_unknown(
    status: int, body: object, kind: Outcome, code: str | None
) -> None:
    outcome = await failure(reply(status, body))
    assert (outcome.kind, outcome.status_code, outcome.error_code) == (kind, status, code)
    assert outcome.error.startswith("no access token: ")


async def test_exchange_that_asks_to_wait_is_waited_for() -> None:
    throttled, failed = await failure(reply(429, retry_after="9")), await failure(reply(503, retry_after="7"))
    assert isinstance(throttled, Throttled)
    assert isinstance(failed, Transient)
    assert (throttled.retry_after, failed.retry_after) == (9.0, 7.0)


async def test_exchange_without_an_answer_sent_no_message() -> None:
    lost = await failure(OutcomeUnknown(error_code="timeout", error="no answer in time"))
    assert lost == Transient(error_code="timeout", error="no access token: no answer in time")
    refused = AccountHalted(error_code="address_refused", error="127.0.0.1 is not a public address")
    assert await failure(refused) == refused


async def test_exchange_error_does_not_quote_the_account() -> None:
    outcome = await failure(reply(400, orjson.dumps({"error": "no account push@example.com"})))
    assert "push@example.com" not in outcome.error
