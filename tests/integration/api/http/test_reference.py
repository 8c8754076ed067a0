"""The reference: complete, with examples that work, and no word from another host."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.integration.api.conftest import Api
from web.examples import ACCOUNT_BODY, BATCH_BODY, DRAFT_BODY, MESSAGE_BODY, PREVIEW_BODY, TEMPLATE_BODY


def examples(body: dict[str, Any]) -> list[Any]:
    media = body["content"]["application/json"]
    found = [example["value"] for example in media.get("examples", {}).values()]
    return found + ([media["example"]] if "example" in media else [])


async def test_page_is_opened_loads_everything_from_here(api: Api) -> None:
    assert (await api.client.get("/")).headers["location"] == "/docs"
    page = (await api.client.get("/docs")).text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert [link for link in links if not link.startswith(("/docs/assets/", "data:"))] == []
    for link in links:
        if link.startswith("/"):
            assert (await api.client.get(link)).status_code == 200, link


async def test_reference_is_read_resolves_all_its_references(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    referenced = set(re.findall(r'"#/components/schemas/([^"]+)"', (await api.client.get("/openapi.json")).text))
    assert referenced - set(document["components"]["schemas"]) == set()
    message = document["paths"]["/v1/messages"]["post"]
    assert message["security"] == [{"API key": []}]
    assert len(message["requestBody"]["content"]["application/json"]["schema"]["oneOf"]) == 4
    assert {"202", "400", "401", "413", "422", "503"} <= set(message["responses"])
    schemas = document["components"]["schemas"]
    assert "from" in schemas["EmailMessage"]["properties"]
    assert "idempotency_key" in schemas["BatchedSmsMessage"]["properties"]
    assert "HTTPValidationError" not in schemas


async def test_operations_of_the_reference_have_names_and_summaries(api: Api) -> None:
    paths = (await api.client.get("/openapi.json")).json()["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    assert all(operation["summary"] and operation["tags"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


async def put_example(api: Api) -> None:
    """The template that the examples name."""
    template = TEMPLATE_BODY["content"]["application/json"]["examples"]["email"]["value"]
    assert (await api.client.put("/v1/templates/welcome", json=template)).status_code == 201


@pytest.mark.parametrize("template", examples(TEMPLATE_BODY))
async def test_example_of_a_template_works(api: Api, template: dict[str, Any]) -> None:
    response = await api.client.put("/v1/templates/example", json=template)
    assert response.status_code == 201, response.text
    data = {name: "Ada" for name in response.json()["variables"] if name != "orders"}
    assert (await api.client.post("/v1/templates/example/preview", json={"data": data})).status_code == 200


async def test_examples_of_previews_work(api: Api) -> None:
    await put_example(api)
    (preview,), (draft,) = examples(PREVIEW_BODY), examples(DRAFT_BODY)
    assert "Coffee: 2.50" in (await api.client.post("/v1/templates/welcome/preview", json=preview)).json()["text"]
    drafted = await api.client.post("/v1/templates/preview", json=draft)
    assert drafted.json()["body"] == "Ada, your code is 481516."


@pytest.mark.parametrize("message", examples(MESSAGE_BODY))
async def test_example_of_a_message_works(api: Api, message: dict[str, Any]) -> None:
    await put_example(api)
    response = await api.send({name: value for name, value in message.items() if name not in ("send_at", "not_after")})
    assert response.status_code == 202, response.text


@pytest.mark.parametrize("batch", examples(BATCH_BODY))
async def test_example_of_a_batch_works(api: Api, batch: dict[str, Any]) -> None:
    answer = (await api.client.post("/v1/messages/batch", json=batch)).json()
    assert (answer["accepted"], answer["rejected"]) == (len(batch["messages"]), [])


@pytest.mark.parametrize("account", examples(ACCOUNT_BODY))
async def test_example_of_an_account_is_complete(api: Api, account: dict[str, Any]) -> None:
    readable = {name: value.replace("…", "x") for name, value in account["credentials"].items()}
    if "account_sid" in readable:
        readable["account_sid"] = "AC" + "0" * 32
    response = await api.client.put("/v1/provider-accounts/example", json=account | {"credentials": readable})
    assert response.status_code == 201, response.text
