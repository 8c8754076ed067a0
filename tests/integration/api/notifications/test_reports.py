"""`/ingress/receipts`: what is signed is kept, all else is refused in the same words, and nothing of it is stored."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import text

from hermod.contracts.notifications.messages import Status
from tests.integration.api.conftest import Api, assert_problem
from tests.integration.api.reporting import ORIGIN, call, give_secret, make, place, signed
from web import bodies


async def kept(api: Api) -> list[tuple[str, str | None]]:
    rows = await api.rows("SELECT kind, message_id FROM receipts WHERE tenant_id = :tenant ORDER BY received_at")
    return [(row.kind, row.message_id) for row in rows]


async def test_report_is_signed_is_kept_without_an_api_key(api: Api) -> None:
    await give_secret(api)
    message = await api.sent()
    await api.put_into(message, Status.SENT)
    response = await make(api, call(api, message=message))
    assert (response.status_code, response.content) == (200, b"")
    story = (await api.client.get(f"/v1/messages/{message}")).json()
    assert story["status"] == "delivered"
    assert [(one["kind"], one["word"]) for one in story["receipts"]] == [("delivered", "message.delivered")]
    assert (await api.client.get("/metrics")).text.count('hermod_receipts_total{channel="email",kind="delivered"') == 1


async def test_report_repeated_is_answered_alike_and_changes_nothing(api: Api) -> None:
    await give_secret(api)
    report = call(api)
    assert [(await make(api, report)).status_code for _ in range(3)] == [200] * 3
    assert await kept(api) == [("delivered", None)]


@pytest.mark.parametrize("late", [-3600, 3600])
async def test_report_replayed_later_is_refused_and_nothing_is_stored(api: Api, late: float) -> None:
    await give_secret(api)
    assert_problem(await make(api, call(api, late=late)), 401, "unauthorized")
    assert await kept(api) == []


async def test_report_forged_or_misplaced_is_refused_in_the_same_words(api: Api) -> None:
    await give_secret(api)
    report = call(api)
    refused = [
        await make(api, report, content=report.body + b" "),
        await make(api, report, headers={}),
        await make(api, report, url=ORIGIN + place(api, name="main-sms")),
        await make(api, report, url=ORIGIN + place(api, name="nobody")),
        await make(api, report, url=ORIGIN + place(api, name="%00")),
        await make(api, report, url=ORIGIN + place(api, name="a" * 300)),
        await make(api, report, url=ORIGIN + place(api, tenant="nobody")),
        await make(api, report, url=ORIGIN + place(api, tenant="NO%20BODY%00")),
        await make(api, report, url=ORIGIN + place(api, provider="sendgrid")),
        await make(api, report, url=ORIGIN + place(api, provider="smtp")),
        await make(api, report, url=ORIGIN + place(api, provider="no-such-vendor")),
    ]
    for response in refused:
        assert_problem(response, 401, "unauthorized")
    told = {tuple(sorted((response.json() | {"request_id": ""}).items())) for response in refused if response.json()}
    assert len(told) == 1
    assert await kept(api) == []


async def test_report_header_comes_twice_is_refused(api: Api) -> None:
    await give_secret(api)
    report = call(api)
    twice = [*report.headers.items(), ("Sandbox-Signature", report.headers["Sandbox-Signature"])]
    assert_problem(await make(api, report, headers=twice), 401, "unauthorized")
    assert await kept(api) == []


async def test_report_is_signed_and_unreadable_is_a_bad_request(api: Api) -> None:
    await give_secret(api)
    assert_problem(await make(api, signed(api, b"<xml/>")), 400, "malformed-report")
    assert await kept(api) == []


@pytest.mark.parametrize("name", ["main-email", "nobody"])
async def test_report_too_large_is_refused_before_anybody_looks(api: Api, name: str) -> None:
    await give_secret(api)
    report = call(api, path=place(api, name))
    assert_problem(await make(api, report, content=bytes(1024 * 1024 + 1)), 413, "body-too-large")
    assert await kept(api) == []


async def test_guesses_of_tenants_leave_nothing_behind(api: Api) -> None:
    for number in range(20):
        await make(api, call(api), url=ORIGIN + place(api, tenant=f"guess-{number}"))
    held = api.hermod.core.storage.accounts._recent._kept
    assert not [tenant for tenant in held if tenant.startswith("guess-")]


async def test_account_whose_secret_cannot_be_read_lets_the_provider_come_again(api: Api) -> None:
    await give_secret(api)
    core = api.hermod.core
    statement = text("UPDATE provider_accounts SET credentials = 'x' WHERE tenant_id = :tenant AND name = 'main-email'")
    await core.storage.database.execute(statement, {"tenant": api.tenant})
    core.storage.accounts._recent.forget(api.tenant)
    assert_problem(await make(api, call(api)), 503, "unavailable")


async def test_unsigned_test_call_is_answered_alike_whether_the_account_is_there_or_not(api: Api) -> None:
    await give_secret(api, provider="elasticemail")
    fields = {"status": "opened", "messageid": "abc1234", "to": "test@test.com"}
    places = [
        place(api, provider="elasticemail"),
        place(api, provider="elasticemail", name="nobody"),
        place(api, provider="elasticemail", name="main-sms"),
        place(api, provider="elasticemail", tenant="nobody"),
    ]
    client = httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url=ORIGIN)
    async with client:
        for where in places:
            by_get, by_post = await client.get(where, params=fields), await client.post(where, json=fields)
            assert [(one.status_code, one.content) for one in (by_get, by_post)] == [(200, b"")] * 2
            padded = await client.post(where, json=fields | {"padding": "x" * 5000})
            assert padded.status_code == 401
    assert await kept(api) == []


async def test_report_that_would_be_one_too_many_at_once_is_put_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await give_secret(api)
    monkeypatch.setattr(bodies, "MOST_UNVERIFIED", 10)
    assert_problem(await make(api, call(api)), 503, "unavailable")
    monkeypatch.undo()
    assert (await make(api, call(api))).status_code == 200
