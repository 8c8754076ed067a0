"""What somebody writes back is passed on as an event with its words, once, and keywords are not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hermod.contracts.webhooks.deliveries import EndpointSettings
from starter.webhooks.endpoints import create_endpoint
from tests.integration.api.conftest import Api
from tests.integration.api.reporting import give_secret, make, signed


async def listen(api: Api, *types: str) -> None:
    settings = EndpointSettings(url="http://127.0.0.1:9/hook", event_types=types)
    await create_endpoint(api.hermod.as_tenant(api.tenant, "test"), settings)


async def write(api: Api, words: str | None, id: str = "in-1") -> int:
    event = {"id": id, "type": "message.received", "to": "ada@example.com", "words": words}
    return (await make(api, signed(api, orjson.dumps({"events": [event]})))).status_code


async def told(api: Api) -> list[dict[str, Any]]:
    rows = await api.rows("SELECT id FROM webhook_deliveries WHERE tenant_id = :tenant ORDER BY id")
    shown = [(await api.client.get(f"/v1/webhook-deliveries/{row.id}")).json() for row in rows]
    assert all(one["event_type"] == "message.replied" for one in shown)
    return [one["payload"] for one in shown]


async def test_reply_is_passed_on_with_its_words_and_once_however_often_it_is_reported(api: Api) -> None:
    await give_secret(api)
    await listen(api, "message.replied")
    assert [await write(api, "When do you open?\x00 👍") for _ in range(3)] == [200] * 3
    (payload,) = await told(api)
    assert (payload["text"], payload["from"]) == ("When do you open? 👍", "ada@example.com")
    assert (payload["channel"], payload["account"]) == ("email", "main-email")


@pytest.mark.parametrize("words", ["STOP", "Please stop", "start"])
async def test_keyword_that_was_acted_on_is_no_reply(api: Api, words: str) -> None:
    await give_secret(api)
    await listen(api, "*")
    assert await write(api, words) == 200
    assert await told(api) == []


async def test_picture_and_a_call_for_help_reach_a_person(api: Api) -> None:
    await give_secret(api)
    await listen(api, "message.*")
    assert [await write(api, None, "in-1"), await write(api, "HELP", "in-2")] == [200, 200]
    assert sorted(str(payload["text"]) for payload in await told(api)) == ["HELP", "None"]


async def test_reply_is_sealed_where_the_tenant_encrypts(api: Api) -> None:
    await give_secret(api)
    await listen(api, "message.replied")
    core = api.hermod.core
    await core.storage.contents.set_policy(api.tenant, encrypts=True, days=30, actor="test", now=core.clock.now())
    assert await write(api, "my-secret-words") == 200
    (row,) = await api.rows("SELECT body FROM webhook_events WHERE tenant_id = :tenant")
    assert b"my-secret-words" not in bytes(row.body)
    (payload,) = await told(api)
    assert payload["text"] == "my-secret-words"
