"""FCM: the message to the byte, every code of the table, the key file field by field, and what does not fit."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hermod.channels.push.fcm.codes import INVALID_TOKEN, MEANINGS, Meaning
from hermod.channels.push.fcm.sender import FcmSender
from hermod.channels.registry import validate
from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Push
from hermod.contracts.notifications.messages import Category, Outcome
from hermod.contracts.notifications.outcomes import Accepted, Fault, RecipientRejected, Throttled
from hermod.contracts.tenants.accounts import AccountInput
from tests.unit.channels.samples import CREDENTIALS, NOW, account, outgoing, reply, sms, wiring

TOKEN = "cXk3:APA91bZq-_7"
KEY_FILE: dict[str, Any] = orjson.loads(CREDENTIALS["fcm"]["service_account"])
UNTIL = int(NOW.timestamp()) + 60
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
KINDS = {
    Meaning.UNREGISTERED: Outcome.RECIPIENT_REJECTED,
    Meaning.WRONG_TOKEN: Outcome.RECIPIENT_REJECTED,
    Meaning.ARGUMENT: Outcome.MESSAGE_REJECTED,
    Meaning.THROTTLED: Outcome.THROTTLED,
    Meaning.ACCOUNT: Outcome.ACCOUNT_HALTED,
}


def sender(**credentials: str) -> FcmSender:
    return FcmSender(account("fcm", credentials=CREDENTIALS["fcm"] | credentials), wiring())


def push(**changes: Any) -> Push:
    return Push(**({"to": TOKEN, "title": "Hello", "body": "Hi Ada"} | changes))


def message(content: Push, **changes: Any) -> dict[str, Any]:
    body = orjson.loads(sender().request(outgoing(content, **changes)).content)
    assert set(body) == {"message"}
    sent: dict[str, Any] = body["message"]
    return sent


def error(status: str, code: str | None = None, *, field: str | None = None, text: str = "no") -> dict[str, Any]:
    details: list[dict[str, Any]] = []
    if field is not None:
        details.append({"@type": BAD_REQUEST, "fieldViolations": [{"field": field, "description": text}]})
    if code is not None:
        details.append({"@type": FCM_ERROR, "errorCode": code})
    return {"error": {"code": 400, "message": text, "status": status, "details": details}}


def test_request_is_what_google_documents() -> None:
    fcm = sender()
    fcm.access.value = "ya29.token"
    request = fcm.request(outgoing(push(data={"order": 7}), request_id="r"))
    assert request.method == "POST"
    assert str(request.url) == "https://fcm.googleapis.com/v1/projects/example-project/messages:send"
    assert dict(request.headers) == {
        "content-type": "application/json",
        "accept": "application/json",
        "authorization": "Bearer ya29.token",
        "x-request-id": "r",
    }
    assert orjson.loads(request.content) == {
        "message": {
            "token": TOKEN,
            "notification": {"title": "Hello", "body": "Hi Ada"},
            "data": {"order": "7", "hermod_message_id": "msg_1"},
            "android": {"priority": "high"},
            "apns": {
                "headers": {"apns-push-type": "alert", "apns-priority": "10"},
                "payload": {"aps": {"sound": "default"}},
            },
            "webpush": {"headers": {"Urgency": "high"}},
        }
    }


def test_request_everything_reaches_each_platform_in_its_own_words() -> None:
    content = push(image="https://example.com/1.png", url="https://example.com/7", collapse_key="order", ttl_seconds=60)
    assert message(content, category=Category.MARKETING) == {
        "token": TOKEN,
        "notification": {"title": "Hello", "body": "Hi Ada", "image": "https://example.com/1.png"},
        "data": {"url": "https://example.com/7", "hermod_message_id": "msg_1"},
        "android": {"priority": "normal", "ttl": "60s", "collapse_key": "order"},
        "apns": {
            "headers": {
                "apns-push-type": "alert",
                "apns-priority": "5",
                "apns-expiration": str(UNTIL),
                "apns-collapse-id": "order",
            },
            "payload": {"aps": {"sound": "default", "mutable-content": 1}},
            "fcm_options": {"image": "https://example.com/1.png"},
        },
        "webpush": {
            "headers": {"Urgency": "normal", "TTL": "60", "Topic": "order"},
            "fcm_options": {"link": "https://example.com/7"},
        },
    }


def test_request_data_alone_wakes_the_app_and_shows_nothing() -> None:
    sent = message(push(title=None, body=None, data={"a": [1, {"b": None}], "c": True, "d": "text", "e": 1.5}))
    assert "notification" not in sent
    assert sent["data"] == {
        "a": '[1,{"b":null}]',
        "c": "true",
        "d": "text",
        "e": "1.5",
        "hermod_message_id": "msg_1",
    }
    assert sent["apns"] == {
        "headers": {"apns-push-type": "background", "apns-priority": "5"},
        "payload": {"aps": {"content-available": 1}},
    }


def test_request_without_a_wait_and_with_a_link_that_google_does_not_take() -> None:
    sent = message(push(ttl_seconds=0, url="http://example.com/7", collapse_key="order: 7"))
    assert sent["android"]["ttl"] == "0s"
    assert sent["apns"]["headers"]["apns-expiration"] == "0"
    assert sent["webpush"]["headers"]["TTL"] == "0"
    assert "fcm_options" not in sent["webpush"]
    assert sent["data"]["url"] == "http://example.com/7"
    topic = sent["webpush"]["headers"]["Topic"]
    assert len(topic) == 32
    assert topic == message(push(collapse_key="order: 7"))["webpush"]["headers"]["Topic"]


def test_request_target_field_is_the_accounts_choice() -> None:
    fcm = sender(target_field="fid")
    body = orjson.loads(fcm.request(outgoing(push())).content)
    assert body["message"]["fid"] == TOKEN
    assert "token" not in body["message"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (sms(), "push messages only"),
        (push(to="ExponentPushToken[abc]"), "Firebase's"),
        (push(to="0123456789abcdef" * 4), "Firebase's"),
        (push(to={"endpoint": "https://push.example.com/1"}), "Firebase's"),
        (push(data={"from": "x"}), "data.from"),
        (push(data={"message_type": "x"}), "data.message_type"),
        (push(data={"google.c": "x"}), "data.google.c"),
        (push(data={"gcm.notification.x": "x"}), "data.gcm.notification.x"),
        (push(data={"hermod_message_id": "x"}), "data.hermod_message_id"),
        (push(url="https://example.com/1", data={"url": "https://example.com/2"}), "data.url"),
        (push(collapse_key="ü" * 33), "collapse_key"),
        (push(body="x" * 4096), "4096"),
    ],
)
def test_content_that_google_cannot_carry_is_named(content: Any, says: str) -> None:
    assert says in (sender().cannot_express(content) or "")


def test_content_that_fits_to_the_byte_passes() -> None:
    own = len("hermod_message_id") + 32
    assert sender().cannot_express(push(title="ü", body="x" * (4094 - own))) is None
    assert sender().cannot_express(push(title="ü", body="x" * (4095 - own))) is not None
    assert sender().cannot_express(push(data={"googled": 1, "fromage": 2, "gcmx": 3})) is None


def test_outcome_success_is_accepted_with_its_name() -> None:
    name = "projects/example-project/messages/0:1500415314455276%31bd1c9631bd1c96"
    assert sender().outcome(reply(200, {"name": name}), outgoing(push())) == Accepted(status_code=200, provider_id=name)
    assert sender().outcome(reply(200, b'{"na'), outgoing(push())) == Accepted(status_code=200)


@pytest.mark.parametrize(("code", "meaning"), MEANINGS.items())
@pytest.mark.parametrize("own", [True, False])
def test_outcome_listed_code_decides(code: str, meaning: Meaning, own: bool) -> None:
    body = error("FAILED_PRECONDITION", code) if own else error(code)
    outcome = sender().outcome(reply(400, body), outgoing(push()))
    assert (outcome.kind, outcome.error_code, outcome.error) == (KINDS[meaning], code, "no")


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (404, error("NOT_FOUND", "UNREGISTERED"), Fault.UNREGISTERED),
        (403, error("PERMISSION_DENIED", "SENDER_ID_MISMATCH"), Fault.WRONG_TOKEN),
        (400, error("INVALID_ARGUMENT", "INVALID_ARGUMENT", field="message.token"), Fault.WRONG_TOKEN),
        (400, error("INVALID_ARGUMENT", "INVALID_ARGUMENT", text=INVALID_TOKEN), Fault.WRONG_TOKEN),
    ],
)
def test_outcome_token_is_refused_with_its_fault(status: int, body: dict[str, Any], fault: Fault) -> None:
    outcome = sender().outcome(reply(status, body), outgoing(push()))
    assert isinstance(outcome, RecipientRejected)
    assert outcome.fault is fault


@pytest.mark.parametrize(
    "body",
    [
        error("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        error("INVALID_ARGUMENT", "INVALID_ARGUMENT", field="message.data[0].value"),
        error("INVALID_ARGUMENT", field="message.token"),
        error("INVALID_ARGUMENT", text=INVALID_TOKEN),
    ],
)
def test_outcome_argument_of_another_field_or_from_the_gate_spares_the_token(body: dict[str, Any]) -> None:
    assert sender().outcome(reply(400, body), outgoing(push())).kind is Outcome.MESSAGE_REJECTED


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, error("INTERNAL", "INTERNAL"), Outcome.UNKNOWN),
        (503, error("UNAVAILABLE", "UNAVAILABLE"), Outcome.UNKNOWN),
        (500, error("INTERNAL", "UNREGISTERED"), Outcome.UNKNOWN),
        (502, b"", Outcome.UNKNOWN),
        (401, error("UNAUTHENTICATED"), Outcome.ACCOUNT_HALTED),
        (401, error("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), Outcome.ACCOUNT_HALTED),
        (403, error("PERMISSION_DENIED"), Outcome.ACCOUNT_HALTED),
        (404, error("NOT_FOUND"), Outcome.ACCOUNT_HALTED),
        (429, error("SOMETHING_NEW"), Outcome.THROTTLED),
        (400, error("SOMETHING_NEW"), Outcome.MESSAGE_REJECTED),
        (400, {"error": "invalid"}, Outcome.MESSAGE_REJECTED),
        (400, {"error": {"details": [1, {"@type": FCM_ERROR, "errorCode": []}]}}, Outcome.MESSAGE_REJECTED),
        (400, {"error": {"details": {"@type": FCM_ERROR}, "message": None}}, Outcome.MESSAGE_REJECTED),
    ],
)
def test_outcome_without_listed_code_is_read_by_status(status: int, body: object, kind: Outcome) -> None:
    assert sender().outcome(reply(status, body), outgoing(push())).kind is kind


@pytest.mark.parametrize(("header", "wait"), [({"retry_after": "9"}, 9.0), ({}, 60.0)])
def test_outcome_quota_waits_as_long_as_asked_or_a_minute(header: dict[str, str], wait: float) -> None:
    outcome = sender().outcome(reply(429, error("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), **header), outgoing(push()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == wait


def test_outcome_text_that_quotes_the_token_is_kept_without_it() -> None:
    body = error("INVALID_ARGUMENT", "INVALID_ARGUMENT", text=f"bad token {TOKEN}")
    assert sender().outcome(reply(400, body), outgoing(push())).error == "bad token [token]"


def faults(key_file: str, base_url: str | None = None, **credentials: str) -> list[str]:
    given = {
        "channel": "push",
        "provider": "fcm",
        "credentials": {"service_account": key_file, **credentials},
        "base_url": base_url,
    }
    with pytest.raises(InvalidInput) as caught:
        validate(AccountInput.model_validate(given), allow_private=True)
    return [f"{fault.field}: {fault.message}" for fault in caught.value.errors]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "authorized_user"}, "key file of a service account"),
        ({"project_id": None}, "project_id is missing"),
        ({"project_id": "../x"}, "project_id is no name"),
        ({"private_key_id": ""}, "private_key_id is missing"),
        ({"client_email": 7}, "client_email is missing"),
        ({"private_key": "secret"}, "private_key is no RSA key"),
        ({"private_key": CREDENTIALS["apns"]["private_key"]}, "private_key is no RSA key"),
        ({"token_uri": "https://evil.example.com/token"}, "token_uri must be"),
        ({"token_uri": "http://oauth2.googleapis.com/token"}, "token_uri must be"),
        ({"token_uri": "https://oauth2.googleapis.com:8443/token"}, "token_uri must be"),
        ({"token_uri": "https://oauth2.googleapis.com@evil.example.com/token"}, "token_uri must be"),
        ({"token_uri": "http://127.0.0.1:1/token"}, "token_uri must be"),
        ({"token_uri": "http://[::1/token"}, "token_uri must be"),
        ({"token_uri": None}, "token_uri must be"),
    ],
)
def test_settings_key_file_with_a_wrong_field_is_named(change: dict[str, Any], says: str) -> None:
    (fault,) = faults(orjson.dumps(KEY_FILE | change).decode())
    assert fault.startswith("credentials.service_account: ")
    assert says in fault
    assert KEY_FILE["private_key"][40:80] not in fault


@pytest.mark.parametrize("text", ["secret", "[]", '"x"', "{}", '{"type": "service_account"'])
def test_settings_text_that_is_no_key_file_is_named(text: str) -> None:
    (fault,) = faults(text)
    assert "key file" in fault


def test_settings_target_field_is_one_of_googles() -> None:
    (fault,) = faults(orjson.dumps(KEY_FILE).decode(), target_field="topic")
    assert fault == "credentials.target_field: must be one of token, fid"


@pytest.mark.parametrize(
    ("base_url", "change"),
    [
        (None, {}),
        ("http://127.0.0.1:8090/fcm", {"token_uri": "http://127.0.0.1:8090/fcm/token"}),
        ("https://fcm.example.com", {"project_id": "example.com:project-1"}),
    ],
)
def test_settings_key_file_as_google_gives_it_out_passes(base_url: str | None, change: dict[str, Any]) -> None:
    text = orjson.dumps(KEY_FILE | change, option=orjson.OPT_INDENT_2).decode() + "\n"
    given = {
        "channel": "push",
        "provider": "fcm",
        "credentials": {"service_account": text},
        "base_url": base_url,
    }
    validate(AccountInput.model_validate(given), allow_private=True)
