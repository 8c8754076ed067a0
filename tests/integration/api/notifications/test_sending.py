"""`POST /v1/messages`: what is taken, what is refused, and that a refusal stores nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.integration.api.conftest import EMAIL, SMS, Api, assert_problem

MIB = 1024 * 1024
_STORED = (
    "SELECT m.*, c.body FROM messages m JOIN message_contents c ON c.message_id = m.id WHERE m.tenant_id = :tenant"
)
WHATSAPP = {"channel": "whatsapp", "to": "+14155550100", "body": "It works"}
PUSH = {"channel": "push", "to": "a-device-token", "title": "It works"}


def without(message: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in fields}


def attachment(size: int) -> dict[str, str]:
    return {"filename": "a.bin", "content_base64": base64.b64encode(bytes(size)).decode()}


async def test_message_is_right_is_stored_before_the_answer(api: Api) -> None:
    response = await api.send(EMAIL | {"from": "Shop <shop@example.com>", "priority": 7, "metadata": {"order": 42}})
    assert response.status_code == 202
    receipt = response.json()
    assert set(receipt) == {"id", "status", "workflow_id", "also"}
    assert receipt["workflow_id"] == f"message/{api.tenant}/{receipt['id']}"
    (row,) = await api.rows(_STORED)
    assert (row.id, row.recipient, row.priority, row.metadata) == (receipt["id"], "ada@example.com", 7, {"order": 42})
    assert orjson.loads(row.body) == {
        "to": "ada@example.com",
        "subject": "Hello",
        "text": "It works",
        "from": "Shop <shop@example.com>",
    }


@pytest.mark.parametrize("message", [EMAIL, SMS, WHATSAPP, PUSH], ids=lambda message: message["channel"])
async def test_message_of_each_channel_is_taken(api: Api, message: dict[str, Any]) -> None:
    assert (await api.send(message)).status_code == 202


WRONG: list[tuple[str, object, str]] = [
    ("unknown channel", EMAIL | {"channel": "fax"}, "channel"),
    ("no channel", without(EMAIL, "channel"), "channel"),
    ("address that is no address", EMAIL | {"to": "ada"}, "to"),
    ("number that is no number", SMS | {"to": "12"}, "to"),
    ("no address", without(EMAIL, "to"), "to"),
    ("sender that is no address", EMAIL | {"from": "shop"}, "from"),
    ("copy to no address", EMAIL | {"cc": ["ada@example.com", "bob"]}, "cc.1"),
    ("line break in the subject", EMAIL | {"subject": "Hello\r\nBcc: x@example.com"}, "subject"),
    ("no subject", without(EMAIL, "subject"), "subject"),
    ("neither body nor template", without(EMAIL, "text"), "text"),
    ("both body and template", EMAIL | {"template": "welcome"}, "template"),
    ("unknown template", without(EMAIL, "text") | {"template": "welcome"}, "template"),
    ("neither body nor media", without(SMS, "body"), "body"),
    ("header that is ours", EMAIL | {"headers": {"Message-ID": "x"}}, "headers"),
    ("header with a line break", EMAIL | {"headers": {"X-A\n": "b"}}, "headers"),
    ("no base64", EMAIL | {"attachments": [attachment(3), {"filename": "a", "content_base64": "%"}]},
     "attachments.1.content_base64"),
    ("oversize attachment", EMAIL | {"attachments": [attachment(10 * MIB + 4)]}, "attachments.0.content_base64"),
    ("attachments too large together", EMAIL | {"attachments": [attachment(MIB * 11 // 2)] * 2}, "attachments"),
    ("past not_after", EMAIL | {"not_after": "2020-01-01T00:00:00Z"}, "not_after"),
    ("not_after before send_at", EMAIL | {"send_at": "2031-01-02T00:00:00Z", "not_after": "2031-01-01T00:00:00Z"},
     "not_after"),
    ("send_at without a time zone", EMAIL | {"send_at": "2030-01-01T00:00:00"}, "send_at"),
    ("send_at that is no time", EMAIL | {"send_at": "tomorrow"}, "send_at"),
    ("send_at too far away", EMAIL | {"send_at": "2999-01-01T00:00:00Z"}, "send_at"),
    ("unknown account", EMAIL | {"provider_account": "nobody"}, "provider_account"),
    ("account of another channel", EMAIL | {"provider_account": "main-sms"}, "provider_account"),
    ("priority out of range", EMAIL | {"priority": 11}, "priority"),
    ("unknown retry preset", EMAIL | {"retry": "often"}, "retry"),
    ("waits that are none", EMAIL | {"retry": ["2s", "soon"]}, "retry.1"),
    ("too many waits", EMAIL | {"retry": [1] * 21}, "retry"),
    ("unknown guarantee", EMAIL | {"guarantee": "always"}, "guarantee"),
    ("misspelt field", EMAIL | {"subjekt": "x"}, "subjekt"),
    ("field named like a channel", EMAIL | {"email": {"to": 1}, "to": "x"}, "email"),
    ("metadata that is no object", EMAIL | {"metadata": [1]}, "metadata"),
    ("metadata with a NUL", EMAIL | {"metadata": {"a": "\0"}}, "metadata"),
    ("metadata with a number beyond 64 bits", EMAIL | {"metadata": {"a": 2**70}}, "metadata"),
    ("metadata that is too long", EMAIL | {"metadata": {"a": "x" * 20_000}}, "metadata"),
    ("data with a number beyond 64 bits", EMAIL | {"data": {"a": -(2**70)}}, "data"),
    ("device token with a NUL", PUSH | {"to": "a\0b"}, "to"),
    ("empty device token", PUSH | {"to": ""}, "to"),
    ("device token of a wrong kind", PUSH | {"to": 5}, "to"),
    ("nameless WhatsApp template", without(WHATSAPP, "body") | {"template": {"name": "", "language": "en"}},
     "template.name"),
    ("not an object", ["email"], "body"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "field"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
async def test_message_is_wrong_is_refused_by_field_and_nothing_is_stored(api: Api, message: Any, field: str) -> None:
    assert_problem(await api.send(message), 422, "invalid-input", field)
    assert await api.stored() == 0


async def test_several_fields_are_wrong_are_all_named(api: Api) -> None:
    problem = (await api.send(EMAIL | {"to": "ada", "priority": 0, "from": "x"})).json()
    assert {error["field"] for error in problem["errors"]} == {"to", "priority", "from"}
    assert all("Value error" not in error["message"] for error in problem["errors"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"channel": "email",}',
        b'{"channel": NaN}',
        b'{"metadata": {"a": Infinity}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        '{"to": "é"}'.encode("latin-1"),
        '{"to": "é"}'.encode("utf-16"),
        b'{"to": "\\ud800"}',
        b'{"priority": ' + b"9" * 10_000 + b"}",
        b"\x00",
    ],
    ids=["empty", "cut", "comma", "nan", "infinity", "deep list", "deep object", "latin", "utf16", "surrogate",
         "number", "nul"],
)  # fmt: skip
async def test_body_is_not_json_is_refused_and_nothing_is_stored(api: Api, body: bytes) -> None:
    assert_problem(await api.client.post("/v1/messages", content=body), 400, "malformed-json")
    assert await api.stored() == 0


async def test_float_overflows_in_data_is_refused(api: Api) -> None:
    body = orjson.dumps(EMAIL | {"data": {"a": "HUGE"}}).replace(b'"HUGE"', b"1e999")
    assert_problem(await api.client.post("/v1/messages", content=body), 422, "invalid-input", "data")


async def test_largest_attachment_is_taken(api: Api) -> None:
    assert (await api.send(EMAIL | {"attachments": [attachment(10 * MIB)]})).status_code == 202


async def test_body_is_larger_than_the_limit_is_refused_unread(api: Api) -> None:
    read = 0

    async def endless() -> Any:
        nonlocal read
        while True:
            read += MIB
            yield bytes(MIB)

    response = await api.client.post("/v1/messages", content=endless())
    assert_problem(response, 413, "body-too-large")
    assert read <= 18 * MIB
    declared = await api.client.post("/v1/messages", content=b"x", headers={"content-length": "9" * 30})
    assert_problem(declared, 413, "body-too-large")


async def test_key_is_repeated_with_the_same_body_gives_the_same_answer(api: Api) -> None:
    first = await api.send(EMAIL | {"metadata": {"a": 1, "b": 2}}, idempotency_key="order:42")
    again = await api.send(dict(reversed(EMAIL.items())) | {"metadata": {"b": 2, "a": 1}}, idempotency_key="order:42")
    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    assert await api.stored() == 1


async def test_key_is_reused_with_another_body_is_refused_by_its_name(api: Api) -> None:
    await api.send(EMAIL, idempotency_key="order:42")
    response = await api.send(EMAIL | {"text": "Another"}, idempotency_key="order:42")
    assert_problem(response, 422, "idempotency-mismatch", "Idempotency-Key")
    assert await api.stored() == 1


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "caf\xe9"], ids=["empty", "blank", "long", "accent"])
async def test_key_is_none_at_all_is_refused_by_its_name(api: Api, key: str) -> None:
    headers = {"idempotency-key": key.encode("latin-1")}
    response = await api.client.post("/v1/messages", json=EMAIL, headers=headers)  # type: ignore[arg-type]
    assert_problem(response, 422, "invalid-input", "Idempotency-Key")
    assert await api.stored() == 0


async def test_request_id_is_given_reaches_the_record(api: Api) -> None:
    response = await api.send(EMAIL, x_request_id="checkout-7.a_b")
    assert response.headers["x-request-id"] == "checkout-7.a_b"
    assert (await api.rows("SELECT request_id FROM messages WHERE tenant_id = :tenant"))[
        0
    ].request_id == "checkout-7.a_b"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a/b", "<b>"])
async def test_request_id_is_odd_is_replaced(api: Api, given: str) -> None:
    response = await api.send(EMAIL, x_request_id=given)
    assert response.headers["x-request-id"].startswith("req_")


NASTY: list[Any] = [
    None, True, 0, -1, 1.5, 1e308, 2**63, 2**64, 10**400, "", " ", "\0", "\r\n", "😀", "x" * 5000, "<" * 5000,
    [], [None], [[]], {}, {"a": None}, {"": {"\0": "\0"}}, {"$ref": "x"},
]  # fmt: skip


def nasty_messages() -> Iterator[dict[str, Any]]:
    more = {
        "email": ["subject", "html", "text", "from", "reply_to", "cc", "bcc", "headers", "attachments"],
        "sms": ["body", "media_urls", "from"],
        "whatsapp": ["body", "template"],
        "push": ["title", "body", "image", "url", "collapse_key", "ttl_seconds"],
    }
    shared = ["channel", "to", "template", "data", "priority", "send_at", "not_after", "guarantee", "category",
              "provider_account", "retry", "metadata"]  # fmt: skip
    for base in (EMAIL, SMS, WHATSAPP, PUSH):
        for field in more[base["channel"]] + shared:
            for value in NASTY:
                yield base | {field: value}


async def test_anything_in_any_field_is_taken_or_refused_but_never_breaks(api: Api) -> None:
    statuses: dict[int, int] = {}
    for message in nasty_messages():
        response = await api.client.post("/v1/messages", content=json.dumps(message))
        statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
        assert response.status_code in (202, 422), (message, response.text)
        if response.status_code == 422:
            assert response.json()["errors"]
    assert await api.stored() == statuses[202]
