"""Admin tokens: made and checked with one secret, and nothing else passes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from hermod.contracts.errors import Unauthorized
from starter.tenants.tokens import WeakSecret, issue, verify

SECRET = "a secret of thirty-two characters"
NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def signed(secret: str = SECRET, algorithm: str = "HS256", **claims: object) -> str:
    whole = {"sub": "ada", "role": "admin", "exp": NOW + HOUR} | claims
    return jwt.encode({name: value for name, value in whole.items() if value is not None}, secret, algorithm=algorithm)


def test_token_is_made_says_whose_it_is_and_until_when() -> None:
    token = verify(SECRET, issue(SECRET, subject="ada", valid_for=HOUR, now=NOW))
    assert token.subject == "ada"
    assert abs(token.expires_at - (NOW + HOUR)) < timedelta(seconds=2)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        "a.b.c",
        signed("another secret of 32 characters!!"),
        signed(exp=NOW - HOUR),
        signed(exp=None),
        signed(sub=None),
        signed(role="tenant"),
        signed(role=None),
        signed(algorithm="HS512", secret=SECRET * 2),
        jwt.encode({"sub": "ada", "role": "admin", "exp": NOW + HOUR}, "", algorithm="none"),
    ],
    ids=[
        "empty",
        "nonsense",
        "dots",
        "secret",
        "expired",
        "endless",
        "nobody",
        "role",
        "no role",
        "algorithm",
        "unsigned",
    ],
)
def test_token_is_not_an_admins_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        verify(SECRET, token)


@pytest.mark.parametrize("secret", ["", "short"])
def test_secret_is_weak_makes_and_checks_nothing(secret: str) -> None:
    with pytest.raises(WeakSecret, match="HERMOD_JWT_SECRET"):
        issue(secret, subject="ada", valid_for=HOUR, now=NOW)
    with pytest.raises(WeakSecret):
        verify(secret, signed())


@pytest.mark.parametrize("valid_for", [timedelta(0), timedelta(days=-1), timedelta(days=400)])
def test_token_lives_for_an_odd_time_is_not_made(valid_for: timedelta) -> None:
    with pytest.raises(ValueError, match="valid for"):
        issue(SECRET, subject="ada", valid_for=valid_for, now=NOW)
