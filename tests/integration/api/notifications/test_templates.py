"""`/v1/templates`, and messages that name one: what is stored is words, and what cannot be said is refused."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest

from tests.integration.api.conftest import Api, assert_problem

EMAIL: dict[str, Any] = {
    "channel": "email",
    "subject": "Hello {{ name }}",
    "html": "<p>Hello {{ name }}, your code is <b>{{ code }}</b>.</p>",
}
MESSAGE: dict[str, Any] = {
    "channel": "email",
    "to": "ada@example.com",
    "template": "welcome",
    "data": {"name": "Ada <b>", "code": 481516},
}
_STORED = (
    "SELECT m.template, m.segments, c.body FROM messages m JOIN message_contents c ON c.message_id = m.id"
    " WHERE m.tenant_id = :tenant ORDER BY m.id"
)


async def put(api: Api, template: object = EMAIL, name: str = "welcome") -> httpx.Response:
    return await api.client.put(f"/v1/templates/{name}", json=template)


async def stored(api: Api) -> list[tuple[str | None, dict[str, Any]]]:
    return [(row.template, orjson.loads(row.body)) for row in await api.rows(_STORED)]


async def test_template_is_put_is_stored_once_listed_and_shown(api: Api) -> None:
    first, again = await put(api), await put(api)
    assert (first.status_code, again.status_code) == (201, 200)
    view = first.json()
    assert (view["version"], view["locale"], view["current"], view["default_locale"]) == (1, "en", True, "en")
    assert view["variables"] == ["code", "name"]
    assert view["warnings"] == ["text: made from the HTML, as there is none"]
    assert view["source"] == {name: EMAIL[name] for name in ("subject", "html")}
    assert again.json() == view
    (listed,) = (await api.client.get("/v1/templates")).json()["items"]
    assert (listed["name"], listed["locales"], listed["version"]) == ("welcome", ["en"], 1)
    shown = (await api.client.get("/v1/templates/welcome")).json()
    assert shown["current"] == [view]
    assert [(one["version"], one["current"]) for one in shown["versions"]] == [(1, True)]
    assert (await api.client.get("/v1/templates/welcome/versions/1")).json() == view


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ({}, "channel"),
        ({"channel": "fax", "body": "x"}, "channel"),
        ({"channel": "sms"}, "body"),
        ({"channel": "sms", "body": ""}, "body"),
        ({"channel": "sms", "body": "x", "html": "x"}, "html"),
        ({"channel": "sms", "body": "{{ x"}, "body"),
        ({"channel": "sms", "body": "{{ 1e999 }}"}, "body"),
        ({"channel": "push", "data": {f"k{n:02}": "{{ " + "1+" * 29_000 + "1 }}" for n in range(30)}}, "data.k00"),
        ({"channel": "sms", "body": "a\0b"}, "body"),
        ({"channel": "sms", "body": "x" * 600_000}, "body"),
        ({"channel": "email", "html": "x"}, "subject"),
        ({"channel": "email", "subject": "x"}, "html"),
        ({"channel": "email", "subject": "x", "html": "x", "mjml": "x"}, "mjml"),
        ({"channel": "email", "subject": "{% include 'x' %}", "html": "x"}, "subject"),
        ({"channel": "push"}, "title"),
        ({"channel": "push", "title": "x", "data": {"a": "{{"}}, "data.a"),
        ({"channel": "push", "title": "x", "data": {"a\0": "x"}}, "data.a\0"),
        ({"channel": "sms", "body": "x", "locale": "english"}, "locale"),
        ({"channel": "sms", "body": "x", "locale": "en\n"}, "locale"),
        ({"channel": "sms", "body": "x", "bdy": "x"}, "bdy"),
        ([], "body"),
    ],
)
async def test_template_is_wrong_is_refused_by_field_and_not_stored(api: Api, template: Any, field: str) -> None:
    assert_problem(await put(api, template), 422, "invalid-input", field)
    assert (await api.client.get("/v1/templates")).json()["items"] == []


@pytest.mark.parametrize("name", ["UPPER", "a b", "-a", "a" * 64])
async def test_name_is_none_is_refused(api: Api, name: str) -> None:
    assert_problem(await put(api, EMAIL, name), 422, "invalid-input", "name")


async def test_template_is_not_there_is_not_found(api: Api) -> None:
    for path in ("welcome", "welcome/versions/1"):
        assert_problem(await api.client.get(f"/v1/templates/{path}"), 404, "not-found")
    assert_problem(await api.client.post("/v1/templates/welcome/preview", json={}), 404, "not-found")
    await put(api)
    assert_problem(await api.client.get("/v1/templates/welcome/versions/2"), 404, "not-found")
    assert_problem(await api.client.post("/v1/templates/welcome/preview", json={"version": 2}), 404, "not-found")


async def test_preview_says_what_a_message_would_and_sends_nothing(api: Api) -> None:
    await put(api)
    await put(api, EMAIL | {"locale": "de", "subject": "Hallo {{ name }}", "text": "Hallo {{ name }} ({{ code }})"})
    data = {"name": "Ada <b>", "code": 5}
    preview = (await api.client.post("/v1/templates/welcome/preview", json={"data": data, "locale": "de-AT"})).json()
    assert preview["template"] == "welcome/de@2"
    assert preview["subject"] == "Hallo Ada <b>"
    assert preview["html"] == "<p>Hello Ada &lt;b&gt;, your code is <b>5</b>.</p>"
    assert preview["text"] == "Hallo Ada <b> (5)"
    pinned = await api.client.post("/v1/templates/welcome/preview", json={"data": data, "locale": "de", "version": 1})
    assert (pinned.json()["template"], pinned.json()["text"]) == ("welcome/en@1", "Hello Ada <b>, your code is 5.")
    wrong = await api.client.post("/v1/templates/welcome/preview", json={"data": {"name": "Ada"}})
    assert_problem(wrong, 422, "invalid-input", "data.code")
    assert await api.stored() == 0


async def test_preview_of_a_source_that_is_not_stored_names_its_fields(api: Api) -> None:
    template = {"channel": "sms", "body": "Code {{ code }} " + "é" * 200}
    draft = {"template": template, "data": {"code": 5}}
    preview = (await api.client.post("/v1/templates/preview", json=draft)).json()
    assert (preview["template"], preview["segments"], preview["variables"]) == (None, 2, ["code"])
    broken = {"template": template | {"body": "{{ x"}}
    assert_problem(await api.client.post("/v1/templates/preview", json=broken), 422, "invalid-input", "template.body")
    assert_problem(
        await api.client.post("/v1/templates/preview", json=draft | {"data": {}}), 422, "invalid-input", "data.code"
    )


async def test_message_by_template_is_stored_in_words_and_names_its_version(api: Api) -> None:
    await put(api)
    sent = await api.send(MESSAGE)
    assert sent.status_code == 202, sent.text
    assert await stored(api) == [
        (
            "welcome/en@1",
            {
                "to": "ada@example.com",
                "subject": "Hello Ada <b>",
                "html": "<p>Hello Ada &lt;b&gt;, your code is <b>481516</b>.</p>",
                "text": "Hello Ada <b>, your code is 481516.",
            },
        )
    ]
    view = (await api.client.get(f"/v1/messages/{sent.json()['id']}")).json()
    assert view["template"] == "welcome/en@1"


async def test_message_gets_the_nearest_locale_and_the_version_it_pins(api: Api) -> None:
    for template in (EMAIL, EMAIL | {"locale": "de", "subject": "Hallo"}, EMAIL | {"subject": "Hi"}):
        await put(api, template)
    for changes in ({"locale": "de-AT"}, {"locale": "fr"}, {"template": "welcome@1", "locale": "de"}, {}):
        assert (await api.send(MESSAGE | changes)).status_code == 202
    assert [(name, content["subject"]) for name, content in await stored(api)] == [
        ("welcome/de@2", "Hallo"),
        ("welcome/en@3", "Hi"),
        ("welcome/en@1", "Hello Ada <b>"),
        ("welcome/en@3", "Hi"),
    ]


async def test_message_of_each_channel_takes_its_template(api: Api) -> None:
    await put(api, {"channel": "sms", "body": "Code {{ code }}" + "!" * 160}, "text")
    await put(api, {"channel": "whatsapp", "body": "Code {{ code }}"}, "chat")
    push = {"channel": "push", "title": " {{ code }} ", "url": "https://a.b/{{ code }}", "data": {"c": "{{ code }}"}}
    await put(api, push, "ping")
    data = {"data": {"code": 5}}
    assert (await api.send({"channel": "sms", "to": "+14155550100", "template": "text"} | data)).status_code == 202
    assert (await api.send({"channel": "whatsapp", "to": "+14155550100", "template": "chat"} | data)).status_code == 202
    assert (await api.send({"channel": "push", "to": "token", "template": "ping"} | data)).status_code == 202
    assert [content for _, content in await stored(api)] == [
        {"to": "+14155550100", "body": "Code 5" + "!" * 160},
        {"to": "+14155550100", "body": "Code 5"},
        {"to": "token", "title": "5", "url": "https://a.b/5", "data": {"c": "5"}},
    ]
    assert [row.segments for row in await api.rows(_STORED)] == [2, None, None]


async def test_templates_of_whatsapp_itself_are_left_alone(api: Api) -> None:
    template = {"name": "order_confirmation", "language": "en_US", "components": []}
    message = {"channel": "whatsapp", "to": "+14155550100", "template": template}
    assert (await api.send(message)).status_code == 202
    ((name, content),) = await stored(api)
    assert (name, content["template"]["name"]) == (None, "order_confirmation")


async def test_message_has_words_of_its_own_beside_the_template_keeps_them(api: Api) -> None:
    await put(api)
    assert (await api.send(MESSAGE | {"subject": "Mine"})).status_code == 202
    ((_, content),) = await stored(api)
    assert content["subject"] == "Mine"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"data": {"name": "Ada"}}, "data.code"),
        ({"data": {}}, "data.name"),
        ({"data": {"name": "A\nB", "code": 1}}, "template"),
        ({"data": {"name": "A" * 999, "code": 1}}, "template"),
        ({"template": "nothing"}, "template"),
        ({"template": "welcome@2"}, "template"),
        ({"template": "Not a name"}, "template"),
        ({"template": ""}, "template"),
        ({"template": "text"}, "template"),
        ({"template": "empty"}, "template"),
        ({"template": "endless"}, "template"),
        ({"locale": "x"}, "locale"),
    ],
)
async def test_message_that_cannot_be_worded_is_refused_and_not_stored(
    api: Api, changes: dict[str, Any], field: str
) -> None:
    await put(api)
    await put(api, {"channel": "sms", "body": "x"}, "text")
    await put(api, {"channel": "email", "subject": "{{ name[9:] }}", "text": "x"}, "empty")
    endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
    await put(api, {"channel": "email", "subject": "x", "text": endless}, "endless")
    assert_problem(await api.send(MESSAGE | changes), 422, "invalid-input", field)
    assert await api.stored() == 0


async def test_batch_takes_the_messages_that_can_be_worded(api: Api) -> None:
    await put(api)
    messages = [MESSAGE, MESSAGE | {"data": {"name": "Eve"}}, MESSAGE | {"to": "eve@example.com"}]
    answer = (await api.client.post("/v1/messages/batch", json={"messages": messages})).json()
    assert answer["accepted"] == 2
    assert [(one["index"], one["errors"][0]["field"]) for one in answer["rejected"]] == [(1, "data.code")]


async def test_message_whose_rendering_fails_is_rejected_alone(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_value: Any, _meter: Any) -> str:
        raise NameError("inf")

    await put(api, {"channel": "sms", "body": "{% if name == 'Eve' %}{{ ['x']|join }}{% endif %}{{ name }}"})
    monkeypatch.setattr("hermod.domain.templates.filters._joined", failing)
    message = {"channel": "sms", "to": "+14155550100", "template": "welcome"}
    messages = [message | {"data": {"name": name}} for name in ("Ada", "Eve", "Bob")]
    answer = await api.client.post("/v1/messages/batch", json={"messages": messages})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
    ((index, errors),) = [(one["index"], one["errors"]) for one in answer.json()["rejected"]]
    assert (index, [error["field"] for error in errors]) == (1, ["template"])
    assert_problem(await api.client.post("/v1/messages", json=messages[1]), 422, "invalid-input", "template")


async def test_repeat_under_a_key_has_its_answer_whatever_the_template_says_by_now(api: Api) -> None:
    await put(api)
    first = await api.send(MESSAGE, idempotency_key="k")
    await put(api, EMAIL | {"html": "{{ later }}"})
    again = await api.send(MESSAGE, idempotency_key="k")
    assert again.json()["id"] == first.json()["id"]
    assert_problem(await api.send(MESSAGE), 422, "invalid-input", "data.later")
    assert await api.stored() == 1


async def test_large_page_is_worded_as_a_small_one(api: Api) -> None:
    rows = "{% for row in rows %}<tr><td>{{ row }}</td></tr>{% endfor %}"
    await put(api, {"channel": "email", "subject": "x", "html": f"<table>{rows}</table>"})
    message = MESSAGE | {"data": {"rows": ["word " * 10] * 1_000}}
    assert (await api.send(message)).status_code == 202
    ((_, content),) = await stored(api)
    assert content["text"].count("\n") == 999


async def test_push_to_a_contact_is_worded_once_for_all_its_devices(api: Api) -> None:
    await put(api, {"channel": "push", "title": "Code {{ code }}"}, "ping")
    for token in ("first-token", "second-token"):
        device = await api.client.put("/v1/contacts/ada/devices", json={"token": token})
        assert device.status_code in (200, 201), device.text
    message = {"channel": "push", "to": "ada", "template": "ping", "data": {"code": 5}}
    assert (await api.send(message)).status_code == 202
    found = await stored(api)
    assert {(name, content["title"]) for name, content in found} == {("ping/en@1", "Code 5")}
    assert {content["to"] for _, content in found} == {"first-token", "second-token"}
