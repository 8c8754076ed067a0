"""The fields of a mail that become headers: what is taken as it is, what is read, and what is refused by name."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from starter import Hermod
from tests.integration.api.conftest import EMAIL, SMS, Api, assert_problem, calling, new_api
from web.app import create_app

INJECTION = "=?utf-8?q?x=0d=0aBcc:victim=40evil.example?="
STORED = "SELECT c.body FROM messages m JOIN message_contents c ON c.message_id = m.id WHERE m.tenant_id = :tenant"
FILE = {"filename": "a.txt", "content_base64": base64.b64encode(b"x").decode()}
PUSH = {"channel": "push", "to": "token", "title": "x"}
WHATSAPP = {"channel": "whatsapp", "to": "+14155550100", "body": "x"}


async def stored(api: Api, message: dict[str, Any]) -> dict[str, Any]:
    response = await api.send(message)
    assert response.status_code == 202, response.text
    (row,) = await api.rows(STORED)
    body: dict[str, Any] = orjson.loads(row.body)
    return body


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\0", "\x0b", "\x9f", "\x7f", "\n", "\t"])
@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"subject": "a%b"}, "subject"),
        ({"headers": {"X-A": "a%b"}}, "headers.X-A"),
        ({"attachments": [FILE | {"filename": "a%b"}]}, "attachments.0.filename"),
        ({"to": "a%b <ada@example.com>"}, "to"),
        ({"from": "a%b <ada@example.com>"}, "from"),
        ({"reply_to": '"a%b" <ada@example.com>'}, "reply_to"),
        ({"cc": ["bob@example.com", "a%b <ada@example.com>"]}, "cc.1"),
    ],
)
async def test_line_that_somebody_takes_for_two_is_refused(
    api: Api, message: dict[str, Any], field: str, character: str
) -> None:
    broken = orjson.loads(orjson.dumps(message).replace(b"%", orjson.dumps(character)[1:-1]))
    assert_problem(await api.send(EMAIL | broken), 422, "invalid-input", field)
    assert await api.stored() == 0


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (EMAIL | {"text": "a\0b"}, "text"),
        (EMAIL | {"html": "a\0b"}, "html"),
        (SMS | {"body": "a\0b"}, "body"),
        (WHATSAPP | {"body": "a\0b"}, "body"),
        (PUSH | {"body": "a\0b"}, "body"),
        (PUSH | {"title": "a\0b"}, "title"),
    ],
)
async def test_text_with_a_nul_is_refused_on_every_channel(api: Api, message: dict[str, Any], field: str) -> None:
    assert_problem(await api.send(message), 422, "invalid-input", field)


async def test_template_with_a_nul_in_its_data_or_source_is_refused(api: Api) -> None:
    source = {"channel": "email", "subject": "Hi {{ name }}", "text": "{{ name }}"}
    assert_problem(await api.client.put("/v1/templates/t", json=source | {"text": "\0"}), 422, "invalid-input", "text")
    assert (await api.client.put("/v1/templates/t", json=source)).status_code == 201
    asked = {"channel": "email", "to": "ada@example.com", "template": "t"}
    assert (await api.send(asked | {"data": {"name": "a\0b"}})).status_code == 422
    for broken in ("a\u2028b", "a\u0085b"):
        assert_problem(await api.send(asked | {"data": {"name": broken}}), 422, "invalid-input", "template")


async def test_text_that_looks_like_an_encoded_word_is_kept_as_it_is(api: Api) -> None:
    source = {"channel": "email", "subject": "{{ name }}", "text": "{{ name }}"}
    assert (await api.client.put("/v1/templates/t", json=source)).status_code == 201
    asked = {"channel": "email", "to": "ada@example.com", "template": "t", "data": {"name": INJECTION}}
    assert (await stored(api, asked))["subject"] == INJECTION


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("=?utf-8?q?M=C3=BCller?= <news@example.com>", "Müller <news@example.com>"),
        ("=?UTF-8?B?TcO8bGxlcg==?= <news@example.com>", "Müller <news@example.com>"),
        (f"{INJECTION} <news@example.com>", f'"{INJECTION}" <news@example.com>'),
        ("Alert: Production <news@example.com>", '"Alert: Production" <news@example.com>'),
        ('"Zoë \\"Z\\" Bär" <news@example.com>', '"Zoë \\"Z\\" Bär" <news@example.com>'),
        ('"taro..x"@example.com', '"taro..x"@example.com'),
        ('Taro <"taro..x"@example.com>', 'Taro <"taro..x"@example.com>'),
    ],
)
async def test_address_is_kept_as_everybody_reads_it(api: Api, given: str, kept: str) -> None:
    body = await stored(api, EMAIL | {"from": given, "to": given, "cc": [given], "reply_to": given})
    assert (body["from"], body["to"], body["cc"], body["reply_to"]) == (kept, kept, [kept], kept)


@pytest.mark.parametrize("local", ["=?utf-8?q?a?=", '"=?utf-8?q?a=0d=0aRCPT?="', "=?utf-8?q?a=40evil.example=3e?="])
async def test_address_that_hides_another_one_is_refused(api: Api, local: str) -> None:
    assert_problem(await api.send(EMAIL | {"to": f"{local}@example.com"}), 422, "invalid-input", "to")


async def test_replies_go_to_one_address_or_several(api: Api) -> None:
    several = ["Büro <office@example.com>", "ada@example.com"]
    assert (await stored(api, EMAIL | {"reply_to": several}))["reply_to"] == several


async def test_addresses_for_replies_are_wrong_are_told_by_their_place(api: Api) -> None:
    alone = (await api.send(EMAIL | {"reply_to": "office"})).json()["errors"]
    assert [error["field"] for error in alone] == ["reply_to"]
    assert " or " not in alone[0]["message"]
    second = (await api.send(EMAIL | {"reply_to": ["ada@example.com", "office"]})).json()["errors"]
    assert [error["field"] for error in second] == ["reply_to.1"]
    many = ["ada@example.com"] * 11
    assert_problem(await api.send(EMAIL | {"reply_to": many}), 422, "invalid-input", "reply_to")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1", "x-a": "2"},
        {"List-Unsubscribe": "<https://a.example>", "LIST-UNSUBSCRIBE": "<https://b.example>"},
        {"Content-Disposition": "attachment"},
        {"X A": "1"},
        {"X-ä": "1"},
        {"": "1"},
        {"X" * 256: "1"},
    ],
)
async def test_header_given_twice_or_not_of_a_message_is_refused(api: Api, headers: dict[str, str]) -> None:
    assert_problem(await api.send(EMAIL | {"headers": headers}), 422, "invalid-input", "headers")


@pytest.mark.parametrize("kind", ["text/calendar; method=REQUEST", 'text/calendar; charset="utf-8";method=REQUEST'])
async def test_type_of_a_file_may_have_parameters(api: Api, kind: str) -> None:
    body = await stored(api, EMAIL | {"attachments": [FILE | {"content_type": kind}]})
    assert body["attachments"][0]["content_type"] == kind


@pytest.mark.parametrize(
    "kind", ["text", "text/", "text/pläin", "text/plain; x", "text/plain; x=\n", 'a/b; x="', "a/b;"]
)
async def test_type_of_a_file_that_is_none_is_refused(api: Api, kind: str) -> None:
    wrong = EMAIL | {"attachments": [FILE | {"content_type": kind}]}
    assert_problem(await api.send(wrong), 422, "invalid-input", "attachments.0.content_type")


async def test_content_id_of_other_letters_is_refused(api: Api) -> None:
    wrong = EMAIL | {"attachments": [FILE | {"content_id": "größe"}]}
    assert_problem(await api.send(wrong), 422, "invalid-input", "attachments.0.content_id")


LOCAL = ["root@localhost", "ops@mailhost", "ops@printer.local", "ops@x.test", "Ops <ops@a.b.local>"]


@pytest.mark.parametrize("address", LOCAL)
async def test_address_of_a_local_domain_is_refused_with_what_to_do(api: Api, address: str) -> None:
    for field, given in (("to", address), ("from", address), ("cc.0", [address]), ("reply_to.0", [address])):
        response = await api.send(EMAIL | {field.partition(".")[0]: given})
        assert_problem(response, 422, "invalid-input", field)
        assert "HERMOD_LOCAL_EMAIL_DOMAINS" in response.text
    batch = await api.client.post("/v1/messages/batch", json={"messages": [EMAIL | {"to": address}, EMAIL]})
    assert (batch.json()["accepted"], [one["index"] for one in batch.json()["rejected"]]) == (1, [0])


@pytest.fixture
async def intranet(process: Hermod) -> AsyncIterator[Api]:
    """The API where mail may go to the company's own names."""
    update = {"local_email_domains": ("localhost", "mailhost", "local", "x.test")}
    settings = process.core.settings.model_copy(update=update)
    hermod = Hermod(replace(process.core, settings=settings), "nobody", "test")
    app = create_app(settings, hermod=hermod)
    async with calling(app) as client:
        yield await new_api(hermod, app, client)


@pytest.mark.parametrize("address", LOCAL)
async def test_address_of_a_local_domain_is_taken_where_the_setting_names_it(intranet: Api, address: str) -> None:
    body = await stored(intranet, EMAIL | {"to": address, "from": address, "cc": [address], "reply_to": [address]})
    assert (body["to"], body["from"], body["cc"], body["reply_to"]) == (address, address, [address], [address])
    assert_problem(await intranet.send(EMAIL | {"to": "a@other.test"}), 422, "invalid-input", "to")


ACCOUNT = {"channel": "email", "provider": "sandbox", "credentials": {"api_key": "k"}, "base_url": "http://127.0.0.1:9"}


async def test_account_with_a_local_sender_follows_the_same_setting(api: Api, intranet: Api) -> None:
    account = ACCOUNT | {"from": "Ops <ops@mailhost>"}
    refused = await api.client.put("/v1/provider-accounts/local", json=account)
    assert_problem(refused, 422, "invalid-input", "from")
    assert (await intranet.client.put("/v1/provider-accounts/local", json=account)).status_code == 201
