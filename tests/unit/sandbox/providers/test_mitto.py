"""The sandbox's Mitto takes what the vendor takes, and refuses the rest with the vendor's codes."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from httpx import Headers

from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.contract import Call, Refused, Submission, Target
from devstack.sandbox.providers.mitto import Mitto
from tests.unit.channels.samples import NOW

SMS = {"from": "Hermod", "to": "41791234567", "text": "Hello", "type": "GSM", "reference": "msg_01ab"}
CALLBACK = "https://hermod.example.com/ingress/receipts/mitto/demo/main"


def call(message: object, *, key: str | None = "key", path: str = "/sms", kind: str = "application/json") -> Call:
    headers = Headers({"Content-Type": kind} | ({} if key is None else {"X-Mitto-API-Key": key}))
    return Call("POST", path, headers, message if isinstance(message, bytes) else orjson.dumps(message))


def submit(**changes: Any) -> Submission:
    return Mitto().check(call(SMS | changes))


def refused(given: Call) -> tuple[int, int | None]:
    """HTTP's status, and the responseCode."""
    with pytest.raises(Refused) as refusal:
        Mitto().check(given)
    return refusal.value.reply.status, orjson.loads(refusal.value.reply.body).get("responseCode")


def test_sms_is_sent_answers_code_0_and_an_id() -> None:
    submission = submit()
    reply = Mitto().accepted(submission, submission.provider_id, repeated=False)
    body = orjson.loads(reply.body)
    assert (reply.status, body["responseCode"], body["id"]) == (200, 0, submission.provider_id)
    assert (body["to"], body["textLength"], body["test"]) == ("41791234567", 5, False)
    (entry,) = submission.entries
    assert (entry.channel, entry.to, entry.message_id, entry.sender) == ("sms", ("+41791234567",), "msg_01ab", "Hermod")


def test_sms_is_a_test_is_taken_without_an_id() -> None:
    submission = submit(test=True)
    assert list(submission.entries) == []
    assert "id" not in orjson.loads(Mitto().accepted(submission, submission.provider_id, repeated=False).body)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"type": "Latin"}, 2),
        ({"text": ""}, 3),
        ({"text": "it’s"}, 4),
        ({"from": ""}, 5),
        ({"from": "AB"}, 6),
        ({"from": "Twelve chars"}, 6),
        ({"from": "+15005550006"}, 6),
        ({"to": ""}, 7),
        ({"to": "+41791234567"}, 8),
        ({"to": "0791234567"}, 8),
    ],
)
def test_message_is_wrong_answers_its_code(changes: dict[str, Any], code: int) -> None:
    assert refused(call(SMS | changes)) == (200, code)


@pytest.mark.parametrize("text", ["€{}", "Grüße", "@£$"])
def test_message_of_the_gsm_alphabet_is_taken(text: str) -> None:
    assert submit(text=text).entries[0].text == text


def test_message_is_unicode_is_taken() -> None:
    assert submit(text="it’s 😀", type="Unicode").entries[0].text == "it’s 😀"


@pytest.mark.parametrize(
    "changes",
    [{"text": 7}, {"to": ["41791234567"]}, {"validity": "10"}, {"callback": "/relative"}, {"body": "Hello"}],
)
def test_request_holds_something_else_answers_400(changes: dict[str, Any]) -> None:
    assert refused(call(SMS | changes)) == (400, None)


@pytest.mark.parametrize("given", [call(b"{"), call([SMS]), call(SMS, kind="text/plain")])
def test_request_is_not_json_answers_400(given: Call) -> None:
    assert refused(given) == (400, None)


@pytest.mark.parametrize("key", [None, "", "bad-key"])
def test_key_is_wrong_answers_401(key: str | None) -> None:
    assert refused(call(SMS, key=key)) == (401, None)


def test_path_is_wrong_answers_404() -> None:
    assert refused(call(SMS, path="/v2/sms")) == (404, None)


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        (FaultName.THROTTLE, 429, None),
        (FaultName.ERROR_500, 500, 1),
        (FaultName.ERROR_503, 503, 1),
        (FaultName.BAD_CREDENTIALS, 401, None),
        (FaultName.REJECTED_RECIPIENT, 200, 8),
        (FaultName.REJECTED_MESSAGE, 200, 4),
    ],
)
def test_fault_is_met_answers_in_the_vendors_shape(name: FaultName, status: int, code: int | None) -> None:
    reply = Mitto().refusal(Fault(name), submit())
    assert (reply.status, orjson.loads(reply.body).get("responseCode")) == (status, code)


def test_report_is_sent_goes_to_the_callback_of_its_message() -> None:
    (entry,) = submit(callback=f"{CALLBACK}?token=t&hermod_message_id=msg_01ab").entries
    report = Mitto().report(entry, "delivered", Target(CALLBACK, {"callback_token": "t"}, NOW))
    assert report is not None
    assert report.path == f"{CALLBACK}?token=t&hermod_message_id=msg_01ab"
    assert parse_qs(report.body.decode())["status"] == ["DELIVERED"]


def test_report_has_no_word_or_no_token_is_none() -> None:
    (entry,) = submit().entries
    assert Mitto().report(entry, "read", Target(CALLBACK, {"callback_token": "t"}, NOW)) is None
    assert Mitto().report(entry, "delivered", Target(CALLBACK, {}, NOW)) is None
