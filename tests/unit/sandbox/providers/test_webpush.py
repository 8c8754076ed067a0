"""The sandbox's push service checks headers, token and key, and its browser reads only what was encrypted for it."""

from __future__ import annotations

import time
from typing import Any, Final

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from httpx import Headers

from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.providers.contract import Call, Refused, Submission
from devstack.sandbox.providers.webpush import WebPush, subscription
from hermod.channels.push.webpush.encryption import Reader, encrypt, fresh
from hermod.channels.push.webpush.vapid import public_key

HOST: Final = "127.0.0.1:8090"
KEY: Final = generate_private_key(SECP256R1())
PAYLOAD: Final[dict[str, Any]] = {
    "title": "Hello",
    "body": "Hi Ada",
    "image": "https://example.com/1.png",
    "url": "https://example.com/7",
    "data": {"order": 7},
    "message_id": "msg_1",
}


def authorization(
    key: EllipticCurvePrivateKey = KEY, signer: EllipticCurvePrivateKey | None = None, **claims: Any
) -> str:
    said = {"aud": f"http://{HOST}", "exp": int(time.time()) + 3600, "sub": "mailto:push@example.com"} | claims
    return f"vapid t={jwt.encode(said, signer or key, algorithm='ES256')}, k={public_key(key)}"


def body(payload: object = PAYLOAD) -> bytes:
    keys = subscription("http://x", "device")["keys"]
    return encrypt(payload if isinstance(payload, bytes) else orjson.dumps(payload), Reader.of(keys), fresh())


def call(
    *, path: str = "/push/device", method: str = "POST", content: bytes | None = None, **headers: str | None
) -> Call:
    given = {
        "Host": HOST,
        "TTL": "60",
        "Content-Encoding": "aes128gcm",
        "Authorization": authorization(),
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    named = Headers({name: value for name, value in given.items() if value is not None})
    return Call(method, path, named, body() if content is None else content)


def submit(**how: Any) -> Submission:
    return WebPush().check(call(**how))


def refused(**how: Any) -> int:
    with pytest.raises(Refused) as refusal:
        submit(**how)
    assert orjson.loads(refusal.value.reply.body)["message"]
    return refusal.value.reply.status


def test_message_is_shown_as_the_browser_reads_it() -> None:
    (entry,) = submit(Urgency="high", Topic="order-7").entries
    assert (entry.channel, entry.message_id, entry.to) == ("push", "msg_1", (f"http://{HOST}/webpush/push/device",))
    assert (entry.subject, entry.text, entry.media_urls) == ("Hello", "Hi Ada", ("https://example.com/1.png",))
    assert entry.headers == {
        "TTL": "60",
        "Urgency": "high",
        "Topic": "order-7",
        "url": "https://example.com/7",
        "data": '{"order":7}',
    }


def test_message_is_taken_answers_201_with_its_own_address() -> None:
    submission = submit()
    reply = WebPush().accepted(submission, submission.provider_id, repeated=False)
    assert (reply.status, reply.body, reply.content_type) == (201, b"", None)
    assert reply.headers == {"Location": submission.entries[0].provider_message_id}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"TTL": None}, 400),
        ({"TTL": "soon"}, 400),
        ({"TTL": "-1"}, 400),
        ({"Urgency": "urgent"}, 400),
        ({"Topic": "x" * 33}, 400),
        ({"Topic": "a b"}, 400),
        ({"Content_Encoding": "aesgcm"}, 400),
        ({"Content_Encoding": None}, 400),
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer token"}, 401),
        ({"Authorization": "vapid t=a.b.c, k=d"}, 403),
    ],
)
def test_header_is_wrong_answers_its_status(headers: dict[str, Any], status: int) -> None:
    assert refused(**headers) == status


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://push.example.com"},
        {"aud": f"http://{HOST}/"},
        {"exp": int(time.time()) - 1},
        {"exp": int(time.time()) + 90_000},
        {"exp": "tomorrow"},
        {"sub": "push@example.com"},
        {"sub": None},
        {"sub": "mailto:bad@example.com"},
    ],
)
def test_token_claims_something_wrong_answers_403(claims: dict[str, Any]) -> None:
    said = {"aud": f"http://{HOST}", "exp": int(time.time()) + 3600, "sub": "mailto:push@example.com"} | claims
    token = jwt.api_jws.encode(orjson.dumps(said), KEY, algorithm="ES256")
    assert refused(Authorization=f"vapid t={token}, k={public_key(KEY)}") == 403


def test_token_is_signed_by_another_key_answers_403() -> None:
    assert refused(Authorization=authorization(signer=generate_private_key(SECP256R1()))) == 403


def test_subscription_belongs_to_a_key_takes_only_that_one() -> None:
    assert submit(path=f"/push/device/{public_key(KEY)}").entries
    other = public_key(generate_private_key(SECP256R1()))
    assert refused(path=f"/push/device/{other}") == 403


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"x" * 200, 400),
        (b"x" * 4097, 413),
        (body()[:-1], 400),
        (body()[:100] + b"\x00" + body()[101:], 400),
        (body(b"no json"), 400),
        (body([1]), 400),
    ],
)
def test_body_is_not_for_this_browser_answers_its_status(content: bytes, status: int) -> None:
    assert refused(content=content) == status


def test_path_or_method_is_wrong_answers_so() -> None:
    assert refused(path="/push") == 404
    assert refused(method="GET") == 405


def test_subscription_is_asked_for_is_one_to_write_to() -> None:
    reply = WebPush().lookup(call(method="GET", path="/subscriptions/device"), Inbox())
    assert reply is not None
    found = orjson.loads(reply.body)
    assert found == subscription(f"http://{HOST}/webpush", "device")
    assert WebPush().lookup(call(), Inbox()) is None


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (FaultName.THROTTLE, 429),
        (FaultName.ERROR_500, 500),
        (FaultName.ERROR_503, 503),
        (FaultName.BAD_CREDENTIALS, 403),
        (FaultName.REJECTED_RECIPIENT, 410),
        (FaultName.REJECTED_MESSAGE, 413),
    ],
)
def test_fault_is_met_answers_in_the_vendors_shape(name: FaultName, status: int) -> None:
    reply = WebPush().refusal(Fault(name, retry_after=7), submit())
    assert (reply.status, reply.headers["Retry-After"]) == (status, "7")
