"""Standard Webhooks' public vectors, what must be refused, and both reference libraries against our own code."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import standardwebhooks
import svix
from hypothesis import given
from hypothesis import strategies as st

from hermod.outbound.webhooks.signatures import (
    InvalidSignature,
    new_key_pair,
    new_secret,
    public_key,
    sign,
    signature_header,
    verify_webhook,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAIR = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
GOOD = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
GOOD_ASYMMETRIC = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
UTF8 = '{"n":"żółć 🚀"}'.encode()
GOOD_UTF8 = "v1,oCR7oP+j9wXQhV7kl9uA2fRUqu2pIcsQ02YuypZk/3M="
NOW = datetime.fromtimestamp(TIMESTAMP, UTC)


def headers(**changes: str | None) -> dict[str, str]:
    given = {"id": ID, "timestamp": str(TIMESTAMP), "signature": GOOD} | changes
    return {f"webhook-{name}": value for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("secret", "body", "expected"),
    [(SECRET, BODY, GOOD), (PAIR, BODY, GOOD_ASYMMETRIC), (SECRET, UTF8, GOOD_UTF8)],
)
def test_sign_public_vector_is_met(secret: str, body: bytes, expected: str) -> None:
    assert sign(secret, ID, TIMESTAMP, body) == expected


@pytest.mark.parametrize(
    ("secret", "body", "signature"),
    [(SECRET, BODY, GOOD), (PUBLIC, BODY, GOOD_ASYMMETRIC), (SECRET, UTF8, GOOD_UTF8)],
)
def test_verify_public_vector_passes(secret: str, body: bytes, signature: str) -> None:
    verify_webhook(body, headers(signature=signature), secret, now=NOW)


def test_public_key_of_the_vector_is_derived() -> None:
    assert public_key(PAIR) == PUBLIC
    seed = base64.b64decode(PAIR.removeprefix("whsk_"))[:32]
    assert public_key("whsk_" + base64.b64encode(seed).decode()) == PUBLIC


@pytest.mark.parametrize(
    "secret",
    [SECRET.removeprefix("whsec_"), "whsec_" + base64.b64encode(b"k" * 25).decode().rstrip("=")],
)
def test_verify_secret_without_prefix_or_padding_passes(secret: str) -> None:
    verify_webhook(BODY, headers(signature=sign(secret, ID, TIMESTAMP, BODY)), secret, now=NOW)


@pytest.mark.parametrize("public", [PUBLIC, PUBLIC.rstrip("=")])
@pytest.mark.parametrize("signature", [GOOD_ASYMMETRIC, GOOD_ASYMMETRIC.rstrip("=")])
def test_verify_asymmetric_without_padding_passes(public: str, signature: str) -> None:
    verify_webhook(BODY, headers(signature=signature), public, now=NOW)


@pytest.mark.parametrize(
    "signature",
    [
        GOOD.rstrip("="),
        f"v1,AAAA {GOOD}",
        f"v1,{'!' * 44} v2,x nonsense , v1a,{'A' * 86}== {GOOD}",
        f"{GOOD} {GOOD_ASYMMETRIC}",
        f"  {GOOD}  ",
        " ".join([*(f"v2,{'A' * 44}" for _ in range(200)), GOOD]),
    ],
)
def test_verify_good_signature_among_others_passes(signature: str) -> None:
    verify_webhook(BODY, headers(signature=signature), SECRET, now=NOW)


@pytest.mark.parametrize(
    "signature",
    [
        GOOD[:-2] + ("A=" if GOOD[-2] != "A" else "B="),
        GOOD[:-2] + "F=",  # decodes to the very same bytes: the last character has two bits too many
        "v1," + base64.b64encode(base64.b64decode(GOOD[3:])[:-1] + b"\0").decode(),
        GOOD.replace("v1,", "v2,"),
        GOOD.replace("v1,", "V1,"),
        GOOD.replace("v1,", "v1a,"),
        GOOD.removeprefix("v1,"),
        "v1,",
        "v1",
        ",",
        "",
        " ",
        "v1,this is not base64 !",
        "v1,żółć",
        GOOD[:-8],
        GOOD[:-2],
        GOOD + "AAAA",
        GOOD.replace("v1,", "v1,,"),
        GOOD_ASYMMETRIC,
    ],
)
def test_verify_bad_signature_is_refused(signature: str) -> None:
    with pytest.raises(InvalidSignature):
        verify_webhook(BODY, headers(signature=signature), SECRET, now=NOW)


@pytest.mark.parametrize(
    ("secret", "signature"),
    [(PUBLIC, GOOD), (PUBLIC, GOOD_ASYMMETRIC[:-10]), (PUBLIC, GOOD_ASYMMETRIC.replace("hnO3", "hnO4")), (PAIR, GOOD)],
)
def test_verify_asymmetric_bad_signature_is_refused(secret: str, signature: str) -> None:
    with pytest.raises(InvalidSignature):
        verify_webhook(BODY, headers(signature=signature), secret, now=NOW)


@pytest.mark.parametrize("missing", ["id", "timestamp", "signature"])
def test_verify_missing_header_is_refused_by_name(missing: str) -> None:
    with pytest.raises(InvalidSignature, match=f"webhook-{missing} is missing"):
        verify_webhook(BODY, headers(**{missing: None}), SECRET, now=NOW)


@pytest.mark.parametrize("name", ["Webhook-Id", "WEBHOOK-ID"])
def test_verify_header_names_in_any_case_pass_and_twice_are_refused(name: str) -> None:
    verify_webhook(BODY, {**headers(id=None), name: ID}, SECRET, now=NOW)
    with pytest.raises(InvalidSignature, match="twice"):
        verify_webhook(BODY, {**headers(), name: "msg_of_another"}, SECRET, now=NOW)


@pytest.mark.parametrize(
    "timestamp",
    [
        *("", " ", "soon", "1614265330.0", "+1614265330", "-1614265330", " 1614265330", "1614265330 "),
        *(
            "1_614_265_330",
            "0x60379a72",
            "1614265330\n",
            "１６１４２６５３３０",
            "1" * 13,
            "9" * 400,
            "nan",
            "inf",
            "1e9",
        ),
    ],
)
def test_verify_timestamp_that_is_no_plain_integer_is_refused(timestamp: str) -> None:
    signature = sign(SECRET, ID, TIMESTAMP, BODY)
    with pytest.raises(InvalidSignature, match="whole number"):
        verify_webhook(BODY, headers(timestamp=timestamp, signature=signature), SECRET, now=NOW)


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 300])
def test_verify_timestamp_within_five_minutes_passes(seconds: int) -> None:
    verify_webhook(BODY, headers(), SECRET, now=NOW + timedelta(seconds=seconds))
    elsewhere = (NOW + timedelta(seconds=seconds)).astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    verify_webhook(BODY, headers(), SECRET, now=elsewhere)


@pytest.mark.parametrize("seconds", [-301, 301, 3600, -86400])
def test_verify_timestamp_too_far_off_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidSignature, match="five minutes"):
        verify_webhook(BODY, headers(), SECRET, now=NOW + timedelta(seconds=seconds))


def test_verify_timestamp_is_compared_with_the_present_by_default() -> None:
    with pytest.raises(InvalidSignature, match="five minutes"):
        verify_webhook(BODY, headers(), SECRET)
    now = int(datetime.now(UTC).timestamp())
    verify_webhook(BODY, headers(timestamp=str(now), signature=sign(SECRET, ID, now, BODY)), SECRET)


def test_verify_present_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InvalidSignature, match="time zone"):
        verify_webhook(BODY, headers(), SECRET, now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whpk_", "whsec_====", "whpk_AAAA", "whsec_a", "whsec_ż", SECRET[:-1]]
)
def test_verify_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(InvalidSignature):
        verify_webhook(BODY, headers(), secret, now=NOW)


@pytest.mark.parametrize(
    "changed",
    [
        {"body": BODY + b" "},
        {"body": b""},
        {"body": BODY.decode()},
        {"id": "msg_other"},
        {"id": ""},
        {"timestamp": str(TIMESTAMP + 1)},
        {"secret": new_secret()},
    ],
)
def test_verify_what_was_altered_is_refused(changed: dict[str, Any]) -> None:
    body, secret = changed.pop("body", BODY), changed.pop("secret", SECRET)
    with pytest.raises(InvalidSignature):
        verify_webhook(body, headers(**changed), secret, now=NOW)


def test_id_with_a_dot_is_neither_signed_nor_accepted() -> None:
    """`a.1` + `2` + body reads like `a` + `1` + `2.body`: one signature would cover two requests."""
    with pytest.raises(ValueError, match="dot"):
        sign(SECRET, "msg.1", TIMESTAMP, BODY)
    stolen = sign(SECRET, "msg", TIMESTAMP, f"{TIMESTAMP}.{{}}".encode())
    with pytest.raises(InvalidSignature):
        verify_webhook(b"{}", headers(id=f"msg.{TIMESTAMP}", signature=stolen), SECRET, now=NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsk_", "whsk_AAAA", "whsec_!", PAIR[:-10] + "AAAAAAAA=="])
def test_sign_secret_that_is_none_is_an_error(secret: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        sign(secret, ID, TIMESTAMP, BODY)


def test_new_secrets_differ_and_work() -> None:
    assert len({new_secret() for _ in range(50)}) == 50
    assert len(base64.b64decode(new_secret().removeprefix("whsec_"))) == 32
    pair = new_key_pair()
    assert len(base64.b64decode(pair.removeprefix("whsk_"))) == 64
    verify_webhook(BODY, headers(signature=sign(pair, ID, TIMESTAMP, BODY)), public_key(pair), now=NOW)
    with pytest.raises(InvalidSignature):
        verify_webhook(BODY, headers(signature=sign(pair, ID, TIMESTAMP, BODY)), PUBLIC, now=NOW)


def test_header_while_keys_rotate_is_accepted_by_the_holder_of_each() -> None:
    old, new, pair = new_secret(), new_secret(), new_key_pair()
    signature = signature_header((new, old, pair), ID, TIMESTAMP, BODY)
    assert [entry.partition(",")[0] for entry in signature.split(" ")] == ["v1", "v1", "v1a"]
    for secret in (old, new, public_key(pair)):
        verify_webhook(BODY, headers(signature=signature), secret, now=NOW)


@pytest.mark.parametrize("reference", [standardwebhooks.Webhook, svix.Webhook], ids=["standardwebhooks", "svix"])
@given(
    body=st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    keys=st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=3),
)
def test_reference_library_accepts_what_we_sign_and_we_what_it_signs(
    reference: Callable[[str], Any], body: str, keys: list[bytes]
) -> None:
    secrets = ["whsec_" + base64.b64encode(key).decode() for key in keys]
    raw, now = body.encode(), datetime.now(UTC)
    sent = {"webhook-id": ID, "webhook-timestamp": str(int(now.timestamp()))}
    ours = signature_header(secrets, ID, int(now.timestamp()), raw)
    for secret in secrets:
        receiver = reference(secret)
        options = {"json_parse": False} if reference is standardwebhooks.Webhook else {}
        receiver.verify(raw, {**sent, "webhook-signature": ours}, **options)
        theirs = receiver.sign(ID, now, body)
        verify_webhook(raw, {**sent, "webhook-signature": theirs}, secret, now=now)


ANY_TEXT = st.one_of(
    st.text(),
    st.sampled_from(
        [ID, GOOD, GOOD_ASYMMETRIC, str(TIMESTAMP), SECRET, PUBLIC, PAIR, "v1,", "v1a,A", "whpk_", "whsec_="]
    ),
    st.from_regex(r"v1a?,[A-Za-z0-9+/]{0,90}={0,3}", fullmatch=True),
    st.from_regex(r"wh(sec|sk|pk)_[A-Za-z0-9+/]{0,90}={0,3}", fullmatch=True),
)
ANYTHING: st.SearchStrategy[Any] = st.one_of(ANY_TEXT, st.none(), st.binary(), st.integers(), st.lists(st.text()))
NAMES = st.one_of(
    st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "Webhook-Id"]),
    ANYTHING_HASHED := st.text(),
)


@given(
    body=st.one_of(st.binary(), ANYTHING),
    given_headers=st.one_of(
        st.dictionaries(NAMES, ANYTHING, max_size=6),
        st.fixed_dictionaries(
            {"webhook-id": ANY_TEXT, "webhook-timestamp": st.just(str(TIMESTAMP)), "webhook-signature": ANY_TEXT}
        ),
        ANYTHING,
    ),
    secret=ANYTHING,
    now=st.one_of(st.just(NOW), st.none(), st.datetimes(), ANYTHING),
)
def test_verify_whatever_is_given_raises_one_error(body: Any, given_headers: Any, secret: Any, now: Any) -> None:
    try:
        verify_webhook(body, given_headers, secret, now=now)
        refused = ""
    except InvalidSignature as error:
        refused = str(error)
    assert refused or (secret, body) in [(SECRET, BODY), (PUBLIC, BODY), (SECRET.removeprefix("whsec_"), BODY)]
    assert SECRET not in refused
