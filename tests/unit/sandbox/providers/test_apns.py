"""The sandbox's APNs takes what Apple takes, and refuses the rest with Apple's reasons."""

from __future__ import annotations

import base64
import time
from typing import Any

import orjson
import pytest
from httpx import Headers

from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.apns import Apns
from devstack.sandbox.providers.contract import Call, Refused, Submission

TOKEN = "0123456789abcdef" * 4
UUID = "eabeae54-14a8-11e5-b60b-1697f925ec7b"
PAYLOAD = {"aps": {"alert": {"title": "Hello", "body": "Hi"}}, "hermod_message_id": "msg_1", "order": 7}


def part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def provider_token(*, age: int = 0, signature: int = 64, **changes: Any) -> str:
    header = {"alg": "ES256", "kid": "ABC123DEFG"} | {name: changes[name] for name in ("alg", "kid") if name in changes}
    claims = {"iss": "DEF123GHIJ", "iat": int(time.time()) - age} | {
        name: changes[name] for name in ("iss", "iat") if name in changes
    }
    return ".".join((part(orjson.dumps(header)), part(orjson.dumps(claims)), part(b"s" * signature)))


def call(body: object = PAYLOAD, *, path: str = f"/3/device/{TOKEN}", method: str = "POST", **headers: Any) -> Call:
    """Header names without `apns-`, with underscores; None leaves one out."""
    given = {"topic": "com.example.app", "push_type": "alert", "priority": "10"} | headers
    authorization = given.pop("authorization", f"bearer {provider_token()}")
    sent = {f"apns-{name.replace('_', '-')}": value for name, value in given.items() if value is not None}
    if authorization is not None:
        sent["authorization"] = authorization
    return Call(method, path, Headers(sent), body if isinstance(body, bytes) else orjson.dumps(body))


def submit(*given: Any, **how: Any) -> Submission:
    return Apns().check(call(*given, **how))


def refused(*given: Any, **how: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as refusal:
        submit(*given, **how)
    reply = refusal.value.reply
    body = orjson.loads(reply.body)
    assert set(body) == {"reason"}
    return reply.status, body["reason"]


def test_push_is_sent_is_stored_and_answered_without_a_body() -> None:
    submission = submit(id=UUID, collapse_id="order", expiration="0")
    (entry,) = submission.entries
    assert (entry.message_id, entry.provider_message_id, entry.to) == ("msg_1", UUID, (TOKEN,))
    assert (entry.channel, entry.subject, entry.text, entry.sender) == ("push", "Hello", "Hi", "com.example.app")
    assert entry.headers == {
        "apns-topic": "com.example.app",
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": "0",
        "apns-collapse-id": "order",
        "data": '{"order":7}',
    }
    reply = Apns().accepted(submission, UUID, repeated=False)
    assert (reply.status, reply.body, reply.content_type, reply.headers) == (200, b"", None, {"apns-id": UUID})


def test_push_without_an_id_gets_one() -> None:
    assert len(submit().provider_id) == 36


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, "MissingProviderToken"),
        ("bearer ", "MissingProviderToken"),
        ("bearer token", "InvalidProviderToken"),
        ("bearer a.b.c", "InvalidProviderToken"),
        (f"bearer {provider_token(alg='RS256')}", "InvalidProviderToken"),
        (f"bearer {provider_token(signature=71)}", "InvalidProviderToken"),
        (f"bearer {provider_token(kid='abc')}", "InvalidProviderToken"),
        (f"bearer {provider_token(kid='BADKEY0000')}", "InvalidProviderToken"),
        (f"bearer {provider_token(iss=None)}", "InvalidProviderToken"),
        (f"bearer {provider_token(iat='now')}", "InvalidProviderToken"),
        (f"bearer {provider_token(age=-86_400)}", "InvalidProviderToken"),
        (f"bearer {provider_token(age=3700)}", "ExpiredProviderToken"),
    ],
)
def test_provider_token_is_wrong_answers_403(authorization: str | None, reason: str) -> None:
    assert refused(authorization=authorization) == (403, reason)


@pytest.mark.parametrize(
    ("how", "answer"),
    [
        ({"path": "/3/devices/x"}, (404, "BadPath")),
        ({"method": "GET"}, (405, "MethodNotAllowed")),
        ({"path": "/3/device/"}, (400, "MissingDeviceToken")),
        ({"path": "/3/device/abc"}, (400, "BadDeviceToken")),
        ({"path": "/3/device/" + "g" * 64}, (400, "BadDeviceToken")),
        ({"topic": None}, (400, "MissingTopic")),
        ({"topic": "app"}, (400, "BadTopic")),
        ({"topic": "com.bad.app"}, (400, "TopicDisallowed")),
        ({"push_type": None}, (400, "InvalidPushType")),
        ({"push_type": "silent"}, (400, "InvalidPushType")),
        ({"id": UUID.upper()}, (400, "BadMessageId")),
        ({"id": "1"}, (400, "BadMessageId")),
        ({"expiration": "soon"}, (400, "BadExpirationDate")),
        ({"priority": "7"}, (400, "BadPriority")),
        ({"priority": "10", "push_type": "background"}, (400, "BadPriority")),
        ({"collapse_id": "x" * 65}, (400, "BadCollapseId")),
        ({"body": b""}, (400, "PayloadEmpty")),
        ({"body": b"{"}, (400, "PayloadEmpty")),
        ({"body": {"aps": {}}}, (400, "PayloadEmpty")),
        ({"body": {"aps": {"alert": "x" * 4096}}}, (413, "PayloadTooLarge")),
    ],
)
def test_request_is_wrong_answers_its_reason(how: dict[str, Any], answer: tuple[int, str]) -> None:
    assert refused(**how) == answer


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        (FaultName.THROTTLE, 429, "TooManyProviderTokenUpdates"),
        (FaultName.ERROR_500, 500, "InternalServerError"),
        (FaultName.ERROR_503, 503, "ServiceUnavailable"),
        (FaultName.BAD_CREDENTIALS, 403, "InvalidProviderToken"),
        (FaultName.REJECTED_RECIPIENT, 410, "Unregistered"),
        (FaultName.REJECTED_MESSAGE, 413, "PayloadTooLarge"),
    ],
)
def test_fault_is_met_answers_in_the_vendors_shape(name: FaultName, status: int, reason: str) -> None:
    reply = Apns().refusal(Fault(name, retry_after=1.2), submit(id=UUID))
    body = orjson.loads(reply.body)
    assert (reply.status, body["reason"], "timestamp" in body) == (status, reason, status == 410)
    assert reply.headers == {"apns-id": UUID, "Retry-After": "2"}
