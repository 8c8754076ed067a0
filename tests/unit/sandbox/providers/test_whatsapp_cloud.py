"""The sandbox's WhatsApp Cloud API takes what Meta takes, and refuses the rest with Meta's codes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from httpx import Headers

from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.magic import magic_of
from devstack.sandbox.providers.contract import Call, Refused, Submission, Target
from devstack.sandbox.providers.whatsapp_cloud import WhatsAppCloud
from tests.unit.channels.samples import NOW

PATH = "/v26.0/106540352242922/messages"
TEXT: dict[str, Any] = {
    "messaging_product": "whatsapp",
    "recipient_type": "individual",
    "to": "14155550100",
    "type": "text",
    "text": {"body": "Hello", "preview_url": False},
    "biz_opaque_callback_data": "msg_01ab",
}
TEMPLATE = {"name": "order_update", "language": {"code": "en_US"}}


def call(message: object, *, token: str | None = "Bearer token", path: str = PATH, method: str = "POST") -> Call:
    headers = Headers({"Content-Type": "application/json"} | ({} if token is None else {"Authorization": token}))
    return Call(method, path, headers, message if isinstance(message, bytes) else orjson.dumps(message))


def submit(**changes: Any) -> Submission:
    return WhatsAppCloud().check(call(TEXT | changes))


def template(*components: object, **changes: Any) -> dict[str, Any]:
    named = TEMPLATE | changes | ({"components": list(components)} if components else {})
    return {name: value for name, value in TEXT.items() if name != "text"} | {"type": "template", "template": named}


def body(*parameters: object) -> dict[str, Any]:
    return {"type": "body", "parameters": list(parameters)}


def refused(given: Call) -> int:
    """The code; the rest of the shape is checked on the way."""
    with pytest.raises(Refused) as refusal:
        WhatsAppCloud().check(given)
    error = orjson.loads(refusal.value.reply.body)["error"]
    assert {"message", "type", "code", "fbtrace_id"} <= error.keys()
    assert error["message"].startswith(f"(#{error['code']}) ")
    code: int = error["code"]
    return code


def test_text_is_sent_answers_its_wamid() -> None:
    submission = submit()
    reply = WhatsAppCloud().accepted(submission, submission.provider_id, repeated=False)
    assert (reply.status, orjson.loads(reply.body)) == (
        200,
        {
            "messaging_product": "whatsapp",
            "contacts": [{"input": "14155550100", "wa_id": "14155550100"}],
            "messages": [{"id": submission.provider_id}],
        },
    )
    (entry,) = submission.entries
    assert (entry.channel, entry.to, entry.message_id, entry.text) == (
        "whatsapp",
        ("+14155550100",),
        "msg_01ab",
        "Hello",
    )


@pytest.mark.parametrize(
    "components",
    [
        [],
        [body({"type": "text", "text": "Ann"}, {"type": "text", "text": "7"})],
        [body({"type": "text", "text": "Ann", "parameter_name": "first_name"})],
        [{"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.com/1.png"}}]}],
        [{"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "x"}]}],
    ],
)
def test_template_is_sent_answers_its_status(components: list[dict[str, Any]]) -> None:
    submission = WhatsAppCloud().check(call(template(*components)))
    reply = WhatsAppCloud().accepted(submission, submission.provider_id, repeated=False)
    assert orjson.loads(reply.body)["messages"] == [{"id": submission.provider_id, "message_status": "accepted"}]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"messaging_product": "sms"}, 100),
        ({"recipient_type": "group"}, 131009),
        ({"to": None}, 131008),
        ({"to": "Ada"}, 131009),
        ({"to": 14155550100}, 131009),
        ({"text": None}, 131008),
        ({"text": {"body": ""}}, 131008),
        ({"text": {"body": "x" * 4097}}, 131009),
        ({"text": {"body": "x", "preview_url": "false"}}, 131009),
        ({"type": "poll"}, 131051),
        ({"biz_opaque_callback_data": "x" * 513}, 131009),
        ({"body": "Hello"}, 100),
    ],
)
def test_message_is_wrong_answers_its_code(changes: dict[str, Any], code: int) -> None:
    assert refused(call(TEXT | changes)) == code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (template(name=""), 131008),
        (template(name="Order Update"), 131009),
        (template(language={}), 131008),
        (template(language="en_US"), 131008),
        (template(language={"code": "english"}), 132001),
        (template({"type": "footer"}), 131009),
        (template("body"), 131009),
        (template({"type": "button", "index": "0"}), 131009),
        (template({"type": "button", "sub_type": "url"}), 131009),
        (template(body("Ann")), 131009),
        (template(body({"type": "text"})), 132012),
        (template(body({"type": "text", "text": ""})), 132012),
        (template(body({"type": "text", "text": "a", "parameter_name": "b"}, {"type": "text", "text": "c"})), 132012),
        (template(body({"type": "image", "image": {}})), 132012),
    ],
)
def test_template_is_wrong_answers_its_code(message: dict[str, Any], code: int) -> None:
    assert refused(call(message)) == code


@pytest.mark.parametrize("token", [None, "token", "Basic dG9rZW4=", "Bearer ", "Bearer bad-token"])
def test_token_is_wrong_answers_190(token: str | None) -> None:
    assert refused(call(TEXT, token=token)) == 190


@pytest.mark.parametrize(
    "given",
    [
        call(TEXT, path="/106540352242922/messages"),
        call(TEXT, path="/v26.0/messages"),
        call(TEXT, method="GET"),
        call(b"{"),
        call([TEXT]),
    ],
)
def test_request_is_no_message_answers_100(given: Call) -> None:
    assert refused(given) == 100


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        (FaultName.THROTTLE, 429, 130429),
        (FaultName.ERROR_500, 500, 131000),
        (FaultName.ERROR_503, 503, 2),
        (FaultName.BAD_CREDENTIALS, 401, 190),
        (FaultName.REJECTED_RECIPIENT, 400, 131026),
        (FaultName.REJECTED_MESSAGE, 400, 131047),
    ],
)
def test_fault_is_met_answers_in_the_vendors_shape(name: FaultName, status: int, code: int) -> None:
    reply = WhatsAppCloud().refusal(Fault(name), submit())
    assert (reply.status, orjson.loads(reply.body)["error"]["code"]) == (status, code)


def test_number_that_replied_stop_answers_that_it_opted_out() -> None:
    magic = magic_of("+15005550004")
    assert magic is not None
    reply = WhatsAppCloud().refusal(magic.fault, submit(to="15005550004"))
    assert orjson.loads(reply.body)["error"]["code"] == 131050


def test_report_has_no_word_or_no_secret_is_none() -> None:
    (entry,) = submit().entries
    url = "https://hermod.example.com/ingress/receipts/whatsapp_cloud/demo/main"
    assert WhatsAppCloud().report(entry, "clicked", Target(url, {"app_secret": "s"}, NOW)) is None
    assert WhatsAppCloud().report(entry, "delivered", Target(url, {}, NOW)) is None
