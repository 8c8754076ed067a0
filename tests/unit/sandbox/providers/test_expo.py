"""The sandbox's Expo takes what the vendor takes, and refuses the rest with the vendor's codes."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from httpx import Headers

from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.providers.contract import Call, Refused
from devstack.sandbox.providers.expo import PATH, RECEIPTS, Expo, ExpoSubmission

TOKEN: Final = "ExponentPushToken[ada]"
MESSAGE: Final[dict[str, Any]] = {
    "to": TOKEN,
    "title": "Hello",
    "body": "Hi Ada",
    "data": {"hermod_message_id": "msg_1"},
}


def call(
    body: object,
    *,
    path: str = PATH,
    method: str = "POST",
    authorization: str | None = None,
    content_type: str = "application/json",
) -> Call:
    headers = Headers({"Content-Type": content_type})
    if authorization is not None:
        headers["Authorization"] = authorization
    return Call(method, path, headers, body if isinstance(body, bytes) else orjson.dumps(body))


def submit(body: object = MESSAGE, **how: Any) -> ExpoSubmission:
    return Expo().check(call(body, **how))


def refused(body: object = MESSAGE, **how: Any) -> tuple[int, str]:
    """Status and code."""
    with pytest.raises(Refused) as refusal:
        submit(body, **how)
    reply = refusal.value.reply
    (error,) = orjson.loads(reply.body)["errors"]
    assert error["message"]
    return reply.status, error["code"]


def tickets(submission: ExpoSubmission) -> Any:
    reply = Expo().accepted(submission, submission.provider_id, repeated=False)
    assert reply.status == 200
    return orjson.loads(reply.body)["data"]


def receipts(inbox: Inbox, *ids: str) -> dict[str, Any]:
    reply = Expo().lookup(call({"ids": list(ids)}, path=RECEIPTS), inbox)
    assert reply is not None
    data: dict[str, Any] = orjson.loads(reply.body)["data"]
    return data


def test_message_alone_answers_one_ticket_and_a_list_a_list() -> None:
    alone = submit()
    assert tickets(alone) == {"status": "ok", "id": alone.entries[0].provider_message_id}
    several = submit([MESSAGE, MESSAGE])
    assert [ticket["id"] for ticket in tickets(several)] == [one.provider_message_id for one in several.entries]
    assert len({ticket["id"] for ticket in tickets(several)}) == 2


def test_message_is_filed_with_all_that_it_says() -> None:
    (entry,) = submit(MESSAGE | {"richContent": {"image": "https://example.com/1.png"}, "ttl": 60}).entries
    assert (entry.channel, entry.to, entry.message_id) == ("push", (TOKEN,), "msg_1")
    assert (entry.subject, entry.text, entry.media_urls) == ("Hello", "Hi Ada", ("https://example.com/1.png",))
    assert entry.headers["ttl"] == "60"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "VALIDATION_ERROR"),
        ("text", "VALIDATION_ERROR"),
        (b"{", "VALIDATION_ERROR"),
        ([MESSAGE] * 101, "PUSH_TOO_MANY_NOTIFICATIONS"),
        ([MESSAGE, MESSAGE | {"to": "ExponentPushToken[acme/1]"}], "PUSH_TOO_MANY_EXPERIENCE_IDS"),
        ({"title": "Hello"}, "VALIDATION_ERROR"),
        (MESSAGE | {"to": "token"}, "VALIDATION_ERROR"),
        (MESSAGE | {"to": [TOKEN]}, "VALIDATION_ERROR"),
        (MESSAGE | {"title": None}, "VALIDATION_ERROR"),
        (MESSAGE | {"data": "text"}, "VALIDATION_ERROR"),
        (MESSAGE | {"ttl": "60"}, "VALIDATION_ERROR"),
        (MESSAGE | {"ttl": True}, "VALIDATION_ERROR"),
        (MESSAGE | {"ttl": -1}, "VALIDATION_ERROR"),
        (MESSAGE | {"priority": "urgent"}, "VALIDATION_ERROR"),
        (MESSAGE | {"richContent": {"video": "https://example.com/1"}}, "VALIDATION_ERROR"),
        (MESSAGE | {"collapse_key": "k"}, "VALIDATION_ERROR"),
    ],
)
def test_request_is_wrong_answers_its_code(body: object, code: str) -> None:
    assert refused(body) == (400, code)


def test_request_is_as_large_as_may_be_is_taken() -> None:
    assert len(submit([MESSAGE] * 100).entries) == 100


@pytest.mark.parametrize("authorization", ["Bearer bad", "Bearer ", "Basic abc"])
def test_credentials_are_wrong_answers_401(authorization: str) -> None:
    assert refused(authorization=authorization) == (401, "UNAUTHORIZED")
    assert submit(authorization="Bearer token").entries


def test_request_is_none_of_the_api_answers_so() -> None:
    assert refused(path="/--/api/v2/push")[0] == 404
    assert refused(method="GET")[0] == 405
    assert refused(content_type="text/plain") == (400, "VALIDATION_ERROR")


def test_device_is_unregistered_only_its_own_ticket_says_so() -> None:
    submission = submit([MESSAGE, MESSAGE | {"to": "ExponentPushToken[unregistered:1]"}])
    assert [ticket["status"] for ticket in tickets(submission)] == ["ok", "error"]
    assert tickets(submission)[1]["details"] == {"error": "DeviceNotRegistered"}
    assert len(submission.entries) == 1


def test_receipts_are_asked_for_tell_of_each_device() -> None:
    inbox = Inbox()
    devices = ("ada", "uninstalled:1", "busy:1")
    messages = [MESSAGE | {"to": f"ExponentPushToken[{device}]"} for device in devices]
    submission = submit([*messages, MESSAGE | {"body": "x" * 5000}])
    inbox.receive(submission.entries, submission.raw)
    ids = [entry.provider_message_id for entry in submission.entries]
    found = receipts(inbox, *ids, "unknown")
    assert [found[one].get("details", {}).get("error") for one in ids] == [
        None,
        "DeviceNotRegistered",
        "MessageRateExceeded",
        "MessageTooBig",
    ]
    assert set(found) == set(ids)


@pytest.mark.parametrize(
    ("body", "code"), [({}, "VALIDATION_ERROR"), ({"ids": [7]}, "VALIDATION_ERROR"),
                       ({"ids": ["a"] * 1001}, "PUSH_TOO_MANY_RECEIPTS")],
)  # fmt: skip
def test_receipts_are_asked_for_wrongly_answers_its_code(body: object, code: str) -> None:
    with pytest.raises(Refused) as refusal:
        Expo().lookup(call(body, path=RECEIPTS), Inbox())
    assert orjson.loads(refusal.value.reply.body)["errors"][0]["code"] == code


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        (FaultName.THROTTLE, 429, "TOO_MANY_REQUESTS"),
        (FaultName.ERROR_500, 500, "INTERNAL_SERVER_ERROR"),
        (FaultName.ERROR_503, 503, "SERVICE_UNAVAILABLE"),
        (FaultName.BAD_CREDENTIALS, 401, "UNAUTHORIZED"),
        (FaultName.REJECTED_MESSAGE, 400, "VALIDATION_ERROR"),
    ],
)
def test_fault_is_met_answers_in_the_vendors_shape(name: FaultName, status: int, code: str) -> None:
    reply = Expo().refusal(Fault(name), submit())
    assert (reply.status, orjson.loads(reply.body)["errors"][0]["code"]) == (status, code)


def test_recipient_is_refused_answers_a_ticket() -> None:
    reply = Expo().refusal(Fault(FaultName.REJECTED_RECIPIENT), submit())
    assert reply.status == 200
    assert orjson.loads(reply.body)["data"]["details"] == {"error": "DeviceNotRegistered"}
