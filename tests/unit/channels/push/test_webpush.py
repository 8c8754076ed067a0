"""Web Push: the RFC's own vector, the token, the request to the byte, every row of the table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from devstack.sandbox.providers.webpush_checks import DEVICE_AUTH, DEVICE_PUBLIC, opened
from hermod.channels.push.webpush.codes import MEANINGS, Meaning
from hermod.channels.push.webpush.encryption import (
    LONGEST_PLAINTEXT,
    Once,
    Reader,
    WrongKeys,
    b64url,
    encrypt,
    fresh,
    unpadded,
)
from hermod.channels.push.webpush.sender import WebPushSender
from hermod.channels.push.webpush.vapid import VALID_FOR, Vapid, WrongKey, private_key, public_key
from hermod.channels.registry import validate
from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Channel, Push
from hermod.contracts.notifications.messages import Category, Outcome
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome, Fault, RecipientRejected, Throttled, Transient
from hermod.contracts.tenants.accounts import AccountInput
from tests.unit.channels import samples

ENDPOINT: Final = "https://push.example.com/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV"
KEYS: Final = {"p256dh": DEVICE_PUBLIC, "auth": DEVICE_AUTH}
KEY: Final = samples.CREDENTIALS["webpush"]["vapid_private_key"]
SALT: Final = "DGv6ra1nlYgDCS1FRnbzlw"
BODY: Final = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
    "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)
"""RFC 8291, appendix A; `KEY` is its key of the application server."""
FAULTS: Final = {
    Meaning.UNREGISTERED: Fault.UNREGISTERED,
    Meaning.WRONG_TOKEN: Fault.WRONG_TOKEN,
    Meaning.UNREACHABLE: Fault.UNREACHABLE,
}


def once() -> Once:
    return Once(private_key(KEY), unpadded(SALT) or b"")


class Repeatable(WebPushSender):
    once = staticmethod(once)


def push(**changes: Any) -> Push:
    return Push(**({"to": {"endpoint": ENDPOINT, "keys": KEYS}, "title": "Hello", "body": "Hi Ada"} | changes))


def to(**changes: Any) -> Push:
    return push(to={"endpoint": ENDPOINT, "keys": KEYS} | changes)


def sender(**changes: Any) -> WebPushSender:
    return Repeatable(samples.account("webpush", **changes), samples.wiring())


def outcome(reply: Any) -> AnyOutcome:
    return sender().outcome(reply, samples.outgoing(push()))


def test_encryption_gives_the_body_of_the_rfc() -> None:
    reader = Reader.of(KEYS)
    assert b64url(encrypt(b"When I grow up, I want to be a watermelon", reader, once())) == BODY


def test_encryption_of_the_same_message_is_never_the_same() -> None:
    bodies = {encrypt(b"Hello", Reader.of(KEYS), fresh()) for _ in range(3)}
    assert len(bodies) == 3


def test_encryption_of_the_longest_plaintext_fills_a_record() -> None:
    assert len(encrypt(b"x" * LONGEST_PLAINTEXT, Reader.of(KEYS), fresh())) == 4096


@pytest.mark.parametrize(
    "keys",
    [
        None,
        "keys",
        {},
        {"p256dh": DEVICE_PUBLIC},
        {"p256dh": DEVICE_PUBLIC, "auth": "AAAA"},
        {"p256dh": DEVICE_PUBLIC, "auth": 7},
        {"p256dh": "BA", "auth": DEVICE_AUTH},
        {"p256dh": "B" + "A" * 86, "auth": DEVICE_AUTH},
        {"p256dh": DEVICE_PUBLIC + "%", "auth": DEVICE_AUTH},
    ],
)
def test_keys_that_are_none_are_told(keys: object) -> None:
    with pytest.raises(WrongKeys):
        Reader.of(keys)


def test_keys_with_padding_and_of_plain_base64_are_the_same() -> None:
    padded = {"p256dh": DEVICE_PUBLIC.replace("-", "+").replace("_", "/") + "=", "auth": DEVICE_AUTH + "=="}
    assert Reader.of(padded).raw_point == Reader.of(KEYS).raw_point


def test_request_is_exactly_this() -> None:
    request = sender().request(samples.outgoing(push(collapse_key="order-7", ttl_seconds=60), request_id="req_1"))
    assert (request.method, str(request.url)) == ("POST", ENDPOINT)
    headers = dict(request.headers)
    assert headers.pop("authorization").startswith("vapid t=")
    assert headers == {
        "content-type": "application/octet-stream",
        "content-encoding": "aes128gcm",
        "ttl": "60",
        "urgency": "normal",
        "topic": "34z4AifsMjeSLfDs2IOFxUbkoxvbgSew",
        "x-request-id": "req_1",
    }
    assert request.content[:21] == (unpadded(SALT) or b"") + b"\x00\x00\x10\x00\x41"
    assert opened(request.content) == {"title": "Hello", "body": "Hi Ada", "message_id": "msg_1"}


def test_request_of_everything_a_message_can_have_leaves_nothing_out() -> None:
    content = push(image="https://example.com/1.png", url="https://example.com/7", data={"order": 7})
    request = sender().request(samples.outgoing(content, category=Category.MARKETING))
    assert opened(request.content) == {
        "title": "Hello",
        "body": "Hi Ada",
        "image": "https://example.com/1.png",
        "url": "https://example.com/7",
        "data": {"order": 7},
        "message_id": "msg_1",
    }
    assert (request.headers["ttl"], request.headers["urgency"]) == ("2419200", "low")
    assert "topic" not in request.headers


@pytest.mark.parametrize(
    ("endpoint", "audience"),
    [
        (ENDPOINT, "https://push.example.com"),
        ("https://push.example.com:443/x", "https://push.example.com"),
        ("https://push.example.com:8443/x?token=a%2Fb", "https://push.example.com:8443"),
    ],
)
def test_token_is_for_the_origin_of_the_endpoint_and_for_twelve_hours(endpoint: str, audience: str) -> None:
    request = sender().request(samples.outgoing(to(endpoint=endpoint)))
    scheme, token, key = request.headers["authorization"].split(" ")
    assert (scheme, key) == ("vapid", f"k={public_key(private_key(KEY))}")
    token = token.removeprefix("t=").removesuffix(",")
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "JWT"}
    claims = jwt.decode(
        token, private_key(KEY).public_key(), algorithms=["ES256"], audience=audience, options={"verify_exp": False}
    )
    assert claims == {
        "aud": audience,
        "exp": int((samples.NOW + VALID_FOR).timestamp()),
        "sub": "mailto:push@example.com",
    }


def test_token_is_kept_for_its_origin_until_an_hour_before_its_end() -> None:
    vapid = Vapid(private_key(KEY), "mailto:push@example.com")
    first = vapid.authorization("https://a.example.com", samples.NOW)
    assert vapid.authorization("https://b.example.com", samples.NOW) != first
    assert vapid.authorization("https://a.example.com", samples.NOW + timedelta(hours=11)) == first
    later = vapid.authorization("https://a.example.com", samples.NOW + timedelta(hours=11, seconds=1))
    assert later != first
    assert vapid.authorization("https://a.example.com", samples.NOW - timedelta(hours=1)) != later


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (samples.sms(), "push"),
        (push(to="ExponentPushToken[a]"), "subscription"),
        (to(endpoint=None), "no endpoint"),
        (to(endpoint="http://push.example.com/x"), "https"),
        (to(endpoint="https://127.0.0.1/x"), "public"),
        (to(endpoint="https://[::1]/x"), "public"),
        (to(endpoint="https://2130706433/x"), "public"),
        (to(endpoint="https://localhost/x"), "public"),
        (to(endpoint="https://user:secret@push.example.com/x"), "user name"),
        (to(endpoint="https://push.example.com/x y"), "not a URL"),
        (to(endpoint="https://push.example.com/" + "x" * 2048), "not a URL"),
        (to(keys=None), "keys"),
        (to(keys=KEYS | {"auth": "AA"}), "auth"),
        (push(data={"x": "x" * 4000}), "3993"),
    ],
)
def test_content_that_does_not_fit_is_refused_before_it_is_sent(content: Any, word: str) -> None:
    assert word in (sender().cannot_express(content) or "")


def test_content_that_fits_is_taken() -> None:
    assert sender().cannot_express(push(collapse_key="k")) is None
    assert sender().cannot_express(to(endpoint="https://wns2.notify.windows.com/w/?token=BQYAAAD%2f")) is None


@pytest.mark.parametrize(
    ("allowed", "endpoint", "fits"),
    [
        ("push.example.com", ENDPOINT, True),
        ("fcm.googleapis.com, *.example.com", ENDPOINT, True),
        ("*.example.com", "https://example.com/x", False),
        ("*.example.com", "https://evilexample.com/x", False),
        ("fcm.googleapis.com", ENDPOINT, False),
        ("push.example.com", "https://PUSH.example.com/x", True),
    ],
)
def test_host_of_a_subscription_is_allowed_where_the_account_names_its_hosts(
    allowed: str, endpoint: str, fits: bool
) -> None:
    credentials = samples.CREDENTIALS["webpush"] | {"allowed_hosts": allowed}
    assert (sender(credentials=credentials).cannot_express(to(endpoint=endpoint)) is None) is fits


@pytest.mark.parametrize("status", [200, 201, 202])
def test_status_of_success_is_accepted(status: int) -> None:
    reply = samples.reply(status, b"", kind=None, location="https://push.example.com/m/1")
    assert outcome(reply) == Accepted(status_code=status, provider_id="https://push.example.com/m/1")


@pytest.mark.parametrize(("status", "meaning"), MEANINGS.items())
def test_status_of_the_table_is_what_it_says_and_never_halts_the_account(status: int, meaning: Meaning) -> None:
    found = outcome(samples.reply(status, {"reason": "Word", "message": "no such\nthing"}))
    assert (found.status_code, found.error_code, found.error) == (status, "Word", "no such thing")
    if meaning is Meaning.BUSY:
        assert isinstance(found, Transient)
    else:
        assert isinstance(found, RecipientRejected)
        assert found.fault is FAULTS[meaning]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Outcome.MESSAGE_REJECTED), (413, Outcome.MESSAGE_REJECTED), (408, Outcome.UNKNOWN), (500, Outcome.UNKNOWN),
     (503, Outcome.UNKNOWN), (204, Outcome.UNKNOWN)],
)  # fmt: skip
def test_status_beside_the_table_is_judged_as_everywhere(status: int, kind: Outcome) -> None:
    assert outcome(samples.reply(status, b"", kind=None)).kind is kind


def test_status_429_waits_as_long_as_the_answer_says() -> None:
    found = outcome(samples.reply(429, b"", kind=None, retry_after="30"))
    assert isinstance(found, Throttled)
    assert found.retry_after == 30


def pem(kind: PrivateFormat) -> str:
    return private_key(KEY).private_bytes(Encoding.PEM, kind, NoEncryption()).decode()


@pytest.mark.parametrize(
    "text",
    [KEY, KEY + "=", pem(PrivateFormat.PKCS8), pem(PrivateFormat.TraditionalOpenSSL),
     pem(PrivateFormat.PKCS8).replace("\n", "\\n")],
)  # fmt: skip
def test_key_is_read_in_every_form_in_which_it_is_written(text: str) -> None:
    assert public_key(private_key(text)) == public_key(private_key(KEY))


@pytest.mark.parametrize(
    "text",
    [
        "key",
        KEY[:-4],
        "A" * 43,
        DEVICE_PUBLIC,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        generate_private_key(SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    ],
)
def test_key_that_is_none_is_told(text: str) -> None:
    with pytest.raises(WrongKey):
        private_key(text)


def account(base_url: str | None = None, **credentials: str) -> AccountInput:
    given = {"vapid_private_key": KEY, "subject": "mailto:push@example.com"} | credentials
    secrets = {name: SecretStr(value) for name, value in given.items()}
    return AccountInput(channel=Channel.PUSH, provider="webpush", credentials=secrets, base_url=base_url)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (account(base_url="https://push.example.com"), "base_url"),
        (account(vapid_private_key="key"), "credentials.vapid_private_key"),
        (account(subject="push@example.com"), "credentials.subject"),
        (account(subject="http://example.com"), "credentials.subject"),
        (account(allowed_hosts="https://push.example.com"), "credentials.allowed_hosts"),
        (account(allowed_hosts="*"), "credentials.allowed_hosts"),
        (account(api_key="x"), "credentials.api_key"),
    ],
)
def test_account_that_could_never_send_is_refused(wrong: AccountInput, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        validate(wrong)
    assert [error.field for error in refused.value.errors] == [field]


@pytest.mark.parametrize(
    "right",
    [
        account(),
        account(subject="https://example.com/contact"),
        account(vapid_private_key=pem(PrivateFormat.PKCS8)),
        account(allowed_hosts="fcm.googleapis.com, *.push.apple.com"),
    ],
)
def test_account_that_can_send_is_taken(right: AccountInput) -> None:
    validate(right)


def test_payload_is_json_in_utf8() -> None:
    request = sender().request(samples.outgoing(push(title="Grüße & 😀")))
    assert orjson.dumps(opened(request.content)["title"]) == '"Grüße & 😀"'.encode()
