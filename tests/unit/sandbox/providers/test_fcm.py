"""The sandbox's FCM takes what Google takes, and refuses the rest in Google's words."""

from __future__ import annotations

import base64
import time
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from httpx import Headers

from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.providers.contract import Call, Refused, Reply, Submission
from devstack.sandbox.providers.fcm import Fcm

SEND = "/v1/projects/example-project/messages:send"
TOKEN = "cXk3:APA91bZq-_7"
MESSAGE = {
    "token": TOKEN,
    "notification": {"title": "Hello", "body": "Hi"},
    "data": {"hermod_message_id": "msg_1", "order": "7"},
}
FORM = "application/x-www-form-urlencoded"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def assertion(
    *,
    signature: int = 256,
    alg: str = "RS256",
    kid: str | None = "key-1",
    begun: int = 0,
    ends: int = 3600,
    **claims: Any,
) -> str:
    """One made now; `begun` and `ends` are seconds from now."""
    now = int(time.time())
    usual = {
        "iss": "push@example-project.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": now + begun,
        "exp": now + ends,
    }
    head = orjson.dumps({"alg": alg, "typ": "JWT", "kid": kid})
    return ".".join((part(head), part(orjson.dumps(usual | claims)), part(b"s" * signature)))


def sign_in(jwt: str | None = None, *, grant: str = JWT_GRANT, content_type: str = FORM) -> Reply:
    body = urlencode({"grant_type": grant, "assertion": assertion() if jwt is None else jwt}).encode()
    reply = Fcm().lookup(Call("POST", "/token", Headers({"Content-Type": content_type}), body), Inbox())
    assert reply is not None
    return reply


def access_token() -> str:
    token: str = orjson.loads(sign_in().body)["access_token"]
    return token


def call(message: object = MESSAGE, *, path: str = SEND, method: str = "POST", token: str | None = None) -> Call:
    authorization = f"Bearer {access_token() if token is None else token}"
    headers = Headers({"Content-Type": "application/json", "Authorization": authorization})
    return Call(method, path, headers, orjson.dumps({"message": message}))


def submit(*given: Any, **how: Any) -> Submission:
    return Fcm().check(call(*given, **how))


def refused(*given: Any, **how: Any) -> dict[str, Any]:
    with pytest.raises(Refused) as refusal:
        submit(*given, **how)
    body = orjson.loads(refusal.value.reply.body)
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert error["code"] == refusal.value.reply.status
    return error


def own_code(error: dict[str, Any]) -> str | None:
    return next((one["errorCode"] for one in error["details"] if one["@type"].endswith("FcmError")), None)


def field(error: dict[str, Any]) -> str | None:
    violations = (one["fieldViolations"] for one in error["details"] if one["@type"].endswith("BadRequest"))
    return next((str(listed[0]["field"]) for listed in violations), None)


def test_jwt_is_exchanged_for_a_token_that_sends() -> None:
    answer = orjson.loads(sign_in().body)
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3599)
    (entry,) = submit(token=answer["access_token"]).entries
    assert (entry.message_id, entry.to, entry.subject, entry.text) == ("msg_1", (TOKEN,), "Hello", "Hi")
    assert entry.headers == {"data": '{"order":"7"}'}


def test_message_is_taken_is_answered_with_its_name() -> None:
    submission = submit()
    reply = Fcm().accepted(submission, submission.provider_id, repeated=False)
    assert orjson.loads(reply.body) == {"name": submission.provider_id}
    assert submission.provider_id.startswith("projects/example-project/messages/0:")


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"grant": "client_credentials"}, "unsupported_grant_type"),
        ({"content_type": "application/json"}, "invalid_request"),
        ({"jwt": "a.b"}, "invalid_grant"),
        ({"of": {"alg": "HS256"}}, "invalid_grant"),
        ({"of": {"kid": None}}, "invalid_grant"),
        ({"of": {"kid": "bad-key"}}, "invalid_grant"),
        ({"of": {"signature": 64}}, "invalid_grant"),
        ({"of": {"iss": "ada@example.com"}}, "invalid_grant"),
        ({"of": {"aud": "https://fcm.googleapis.com/"}}, "invalid_grant"),
        ({"of": {"iat": "now"}}, "invalid_grant"),
        ({"of": {"begun": -900}}, "invalid_grant"),
        ({"of": {"ends": 7200}}, "invalid_grant"),
        ({"of": {"scope": "https://www.googleapis.com/auth/cloud"}}, "invalid_scope"),
    ],
)
def test_sign_in_is_wrong_answers_400(how: dict[str, Any], error: str) -> None:
    how = dict(how)
    made = {"jwt": assertion(**how.pop("of"))} if "of" in how else {}
    with pytest.raises(Refused) as refusal:
        sign_in(**(how | made))
    assert refusal.value.reply.status == 400
    assert orjson.loads(refusal.value.reply.body)["error"] == error


OVER = pytest.param(f"ya29.{int(time.time()) - 1}.{'0' * 32}", id="over")


@pytest.mark.parametrize("token", ["ya29.x", "", OVER])
def test_access_token_is_wrong_or_over_answers_401_without_fcms_own_code(token: str) -> None:
    error = refused(token=token)
    assert (error["code"], error["status"], own_code(error)) == (401, "UNAUTHENTICATED", None)


@pytest.mark.parametrize("how", [{"path": "/v1/projects/x/messages"}, {"method": "GET"}])
def test_path_is_wrong_answers_a_page(how: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refusal:
        submit(**how)
    assert (refusal.value.reply.status, refusal.value.reply.content_type) == (404, "text/html")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"data": {"order": 7}}, "message.data.order"),
        ({"data": []}, "message.data"),
        ({"to": TOKEN}, "message"),
        ({"notification": {"title": "x", "sound": "default"}}, "message.notification"),
        ({"notification": {"title": 7}}, "message.notification.title"),
        ({"token": 7}, "message.token"),
        ({"android": {"priority": "urgent"}}, "message.android.priority"),
        ({"android": {"ttl": 60}}, "message.android.ttl"),
        ({"android": {"ttl": "60"}}, "message.android.ttl"),
        ({"android": {"colapse_key": "x"}}, "message.android"),
        ({"apns": {"headers": {"apns-priority": 10}}}, "message.apns.headers.apns-priority"),
    ],
)
def test_message_is_of_the_wrong_shape_is_refused_by_the_gate(change: dict[str, Any], where: str) -> None:
    error = refused(MESSAGE | change)
    assert (error["status"], own_code(error), field(error)) == ("INVALID_ARGUMENT", None, where)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"topic": "news"}, "message"),
        ({"token": "no token"}, None),
        ({"token": "0123456789abcdef" * 4}, None),
        ({"data": {"from": "x"}}, "message.data[0].key"),
        ({"data": {"google.x": "x"}}, "message.data[0].key"),
        ({"data": {"x": "y" * 4096}}, "message"),
        ({"webpush": {"fcm_options": {"link": "http://example.com"}}}, "message.webpush.fcm_options.link"),
        ({"apns": {"headers": {"apns-collapse-id": "x" * 65}}}, "message.apns.headers"),
        ({"fcm_options": {"analytics_label": "a b"}}, "message.fcm_options.analytics_label"),
    ],
)
def test_message_is_not_for_sending_is_refused_by_fcm_itself(change: dict[str, Any], where: str | None) -> None:
    error = refused(MESSAGE | change)
    assert (error["status"], own_code(error), field(error)) == ("INVALID_ARGUMENT", "INVALID_ARGUMENT", where)


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        (FaultName.THROTTLE, 429, "QUOTA_EXCEEDED"),
        (FaultName.ERROR_500, 500, "INTERNAL"),
        (FaultName.ERROR_503, 503, "UNAVAILABLE"),
        (FaultName.BAD_CREDENTIALS, 401, None),
        (FaultName.REJECTED_RECIPIENT, 404, "UNREGISTERED"),
        (FaultName.REJECTED_MESSAGE, 400, "INVALID_ARGUMENT"),
    ],
)
def test_fault_is_met_answers_in_the_vendors_shape(name: FaultName, status: int, code: str | None) -> None:
    reply = Fcm().refusal(Fault(name), submit())
    error = orjson.loads(reply.body)["error"]
    assert (reply.status, error["code"], own_code(error)) == (status, status, code)
