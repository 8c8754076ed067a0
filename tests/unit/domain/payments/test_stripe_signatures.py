"""Stripe's signature header, against the vector, and against Stripe's own library in both directions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from devstack.demo.stripe_stand_in import signed
from hermod.domain.payments.stripe_signatures import WrongSignature, check

SECRET: Final = "whsec_test"
BODY: Final = b'{"id":"evt_1","object":"event"}'
SIGNATURE: Final = "4c15fb2a43f93ef61eaa3e0893866d57cad9cad4223242cfb96f362480cb4021"
THEN: Final = datetime.fromtimestamp(1_700_000_000, UTC)
GOOD: Final = f"t=1700000000,v1={SIGNATURE}"


def refused(header: str | list[str], *, body: bytes = BODY, now: datetime = THEN, secret: str = SECRET) -> bool:
    headers = [header] if isinstance(header, str) else header
    try:
        check(body, headers, [secret], now)
    except WrongSignature:
        return True
    return False


def test_vector_is_accepted() -> None:
    check(BODY, [GOOD], [SECRET], THEN)


@pytest.mark.parametrize("seconds", [-300, -299, 0, 300])
def test_call_is_within_five_minutes_is_accepted(seconds: int) -> None:
    check(BODY, [GOOD], [SECRET], THEN + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_call_is_older_or_ahead_is_refused(seconds: int) -> None:
    assert refused(GOOD, now=THEN + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "header",
    [
        f"t=1700000000,v1={'0' * 64},v1={SIGNATURE}",
        f"v0={'0' * 64},v1={SIGNATURE},t=1700000000",
        f"t=1700000000, v1={SIGNATURE}, scheme=new",
    ],
)
def test_one_of_several_signatures_matches_is_accepted(header: str) -> None:
    check(BODY, [header], ["whsec_other", SECRET], THEN)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1700000000",
        f"v1={SIGNATURE}",
        f"t=1700000000,v0={SIGNATURE}",
        f"t=1700000001,v1={SIGNATURE}",
        f"t=01700000000,v1={SIGNATURE}",
        f"t=1700000000,t=1700000000,v1={SIGNATURE}",
        f"t=,v1={SIGNATURE}",
        f"t=-1700000000,v1={SIGNATURE}",
        f"t=١٧,v1={SIGNATURE}",
        f"t={'9' * 400},v1={SIGNATURE}",
        f"t=1700000000,v1={SIGNATURE.upper()}",
        f"t=1700000000,v1={SIGNATURE[:-1]}",
        f"t=1700000000,v1={SIGNATURE[:-1]}ü",
        "t=1700000000," + ",".join([f"v1={'0' * 64}"] * 30) + f",v1={SIGNATURE}",
        f"t=1700000000,v1={SIGNATURE}" + "," * 5000,
    ],
)
def test_header_is_not_as_stripe_writes_it_is_refused(header: str) -> None:
    assert refused(header)


def test_header_is_missing_or_given_twice_is_refused() -> None:
    assert refused([])
    assert refused([GOOD, GOOD])


def test_body_or_secret_is_another_one_is_refused() -> None:
    assert refused(GOOD, body=BODY + b" ")
    assert refused(GOOD, secret="whsec_tes")
    with pytest.raises(WrongSignature):
        check(BODY, [GOOD], [], THEN)


@given(st.text(max_size=100))
def test_header_is_anything_is_refused_and_nothing_else(header: str) -> None:
    assert refused(header)


@given(st.text(), st.from_regex(r"whsec_[A-Za-z0-9]{1,40}", fullmatch=True))
def test_stripes_own_library_signs_is_accepted(body: str, secret: str) -> None:
    signature = stripe.WebhookSignature._compute_signature(f"1700000000.{body}", secret)
    check(body.encode(), [f"t=1700000000,v1={signature},v0={'0' * 64}"], [secret], THEN)


@given(st.text(), st.from_regex(r"whsec_[A-Za-z0-9]{1,40}", fullmatch=True))
def test_stand_in_signs_is_accepted_by_stripes_own_library_and_here(body: str, secret: str) -> None:
    header = signed(body.encode(), secret, THEN).headers["stripe-signature"]
    assert stripe.WebhookSignature.verify_header(body, header, secret)
    check(body.encode(), [header], [secret], THEN)
