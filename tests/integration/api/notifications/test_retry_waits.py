"""Lists of waits on messages, and what counts where a message names none: its account, its channel, its tenant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api.conftest import EMAIL, SMS, Api, assert_problem

ACCOUNT = {
    "channel": "email",
    "provider": "sandbox",
    "credentials": {"api_key": "secret"},
    "base_url": "http://127.0.0.1:9/sandbox",
}


async def shown(api: Api, message: dict[str, Any]) -> tuple[Any, str]:
    """The `retry` that counts for a message, and whose it is."""
    receipt = await api.send(message)
    assert receipt.status_code == 202, receipt.text
    view = (await api.client.get(f"/v1/messages/{receipt.json()['id']}")).json()
    return view["retry"], view["retry_from"]


async def put_defaults(api: Api, defaults: dict[str, Any]) -> None:
    response = await api.client.put("/v1/retry-defaults", json=defaults)
    assert response.status_code == 200, response.text


async def test_message_names_its_waits_shows_them_in_seconds(api: Api) -> None:
    assert await shown(api, EMAIL | {"retry": ["2s", "10s", "1m"]}) == ([2, 10, 60], "message")
    assert await shown(api, EMAIL | {"retry": [0.5, 7200]}) == ([0.5, 7200], "message")
    assert await shown(api, EMAIL | {"retry": "webhook"}) == ("webhook", "message")


async def test_batch_has_a_message_with_wrong_waits_takes_the_others(api: Api) -> None:
    messages = [EMAIL | {"retry": waits} for waits in (["2s"], ["soon"], [], [5])]
    answer = (await api.client.post("/v1/messages/batch", json={"messages": messages})).json()
    assert answer["accepted"] == 2
    assert [(one["index"], one["errors"][0]["field"]) for one in answer["rejected"]] == [(1, "retry.0"), (2, "retry")]
    rows = await api.rows("SELECT waits FROM messages WHERE tenant_id = :tenant ORDER BY waits ->> 0")
    assert [row.waits for row in rows] == [[2], [5]]


async def test_key_is_repeated_with_other_waits_is_refused_with_the_same_ones_answered(api: Api) -> None:
    first = await api.send(EMAIL | {"retry": ["2s"]}, Idempotency_Key="k")
    assert (await api.send(EMAIL | {"retry": [2]}, Idempotency_Key="k")).json()["id"] == first.json()["id"]
    assert (await api.send(EMAIL | {"retry": [3]}, Idempotency_Key="k")).status_code == 422


async def test_message_names_no_retry_the_most_specific_default_counts(api: Api) -> None:
    named = EMAIL | {"provider_account": "main-email"}
    assert await shown(api, EMAIL) == ("notification", "built_in")
    assert await shown(api, SMS) == ("sms", "built_in")
    await put_defaults(api, {"default": ["4s"]})
    assert await shown(api, EMAIL) == ([4], "tenant")
    assert await shown(api, SMS) == ([4], "tenant")
    await put_defaults(api, {"default": ["4s"], "channels": {"email": "fallback"}})
    assert await shown(api, EMAIL) == ("fallback", "channel")
    assert await shown(api, SMS) == ([4], "tenant")
    assert await shown(api, named) == ("fallback", "channel")
    put = await api.client.put("/v1/provider-accounts/main-email", json=ACCOUNT | {"retry": ["1s", "1m"]})
    assert put.json()["retry"] == [1, 60]
    assert await shown(api, named) == ([1, 60], "account")
    assert await shown(api, named | {"retry": "sms"}) == ("sms", "message")


async def test_defaults_change_what_was_taken_before_keeps_its_own(api: Api) -> None:
    await put_defaults(api, {"default": [4]})
    earlier = await api.sent()
    await put_defaults(api, {})
    assert (await api.client.get(f"/v1/messages/{earlier}")).json()["retry"] == [4]
    assert await shown(api, EMAIL) == ("notification", "built_in")


async def test_account_is_put_without_retry_has_none_any_more(api: Api) -> None:
    await api.client.put("/v1/provider-accounts/main-email", json=ACCOUNT | {"retry": "sms"})
    assert (await api.client.get("/v1/provider-accounts/main-email")).json()["retry"] == "sms"
    await api.client.put("/v1/provider-accounts/main-email", json=ACCOUNT)
    assert (await api.client.get("/v1/provider-accounts/main-email")).json()["retry"] is None


async def test_defaults_are_put_replace_those_there_were_and_are_audited(api: Api) -> None:
    assert (await api.client.get("/v1/retry-defaults")).json() == {"default": None, "channels": {}}
    await put_defaults(api, {"default": ["1m"], "channels": {"push": "fallback"}})
    there = {"default": [60], "channels": {"push": "fallback"}}
    assert (await api.client.get("/v1/retry-defaults")).json() == there
    await put_defaults(api, {"channels": {"sms": [1]}})
    assert (await api.client.get("/v1/retry-defaults")).json() == {"default": None, "channels": {"sms": [1]}}
    assert len(await api.rows("SELECT 1 FROM audit WHERE tenant_id = :tenant AND action = 'retry_defaults.put'")) == 2


@pytest.mark.parametrize(
    ("defaults", "field"),
    [
        ({"default": "often"}, "default"),
        ({"default": []}, "default"),
        ({"channels": {"fax": "sms"}}, "channels.fax"),
        ({"channels": {"email": ["25h"]}}, "channels.email.0"),
        ({"channels": {"email": None}}, "channels.email"),
        ({"email": "sms"}, "email"),
    ],
)
async def test_defaults_make_no_sense_are_refused(api: Api, defaults: dict[str, Any], field: str) -> None:
    assert_problem(await api.client.put("/v1/retry-defaults", json=defaults), 422, "invalid-input", field)


async def test_account_with_wrong_waits_is_refused(api: Api) -> None:
    put = await api.client.put("/v1/provider-accounts/main-email", json=ACCOUNT | {"retry": ["soon"]})
    assert_problem(put, 422, "invalid-input", "retry.0")


async def test_row_is_of_the_version_before_shows_its_preset(api: Api) -> None:
    """A web process of the version before names the preset, and nothing else."""
    own = await api.sent(retry="webhook")
    await api.rows("UPDATE messages SET retry_from = NULL, waits = NULL WHERE tenant_id = :tenant RETURNING id")
    view = (await api.client.get(f"/v1/messages/{own}")).json()
    assert (view["retry"], view["retry_from"]) == ("webhook", None)


async def test_row_has_waits_a_worker_of_the_version_before_reads_a_preset(api: Api) -> None:
    await api.send(EMAIL | {"retry": ["2s"]})
    await api.send(SMS | {"retry": ["2s"]})
    rows = await api.rows("SELECT preset FROM messages WHERE tenant_id = :tenant ORDER BY channel")
    assert [row.preset for row in rows] == ["notification", "sms"]
