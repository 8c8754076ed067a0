"""`/v1/provider-accounts`: settings that could never work are refused, and credentials never come out."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hermod.contracts.notifications.content import Channel
from tests.integration.api.conftest import Api, assert_problem

SECRET = "a-very-secret-value"
SENDGRID: dict[str, Any] = {
    "channel": "email",
    "provider": "sendgrid",
    "credentials": {"api_key": SECRET},
    "from": "shop@example.com",
    "order": 5,
}


async def put(api: Api, account: object, name: str = "new") -> httpx.Response:
    return await api.client.put(f"/v1/provider-accounts/{name}", json=account)


async def test_account_is_put_is_created_then_replaced_and_shown_without_credentials(api: Api) -> None:
    created = await put(api, SENDGRID)
    replaced = await put(api, SENDGRID | {"rate_per_second": 5, "enabled": False})
    assert (created.status_code, replaced.status_code) == (201, 200)
    shown = await api.client.get("/v1/provider-accounts/new")
    assert shown.json() == replaced.json()
    assert (shown.json()["from"], shown.json()["rate_per_second"], shown.json()["available"]) == (
        "shop@example.com",
        5,
        False,
    )
    listed = await api.client.get("/v1/provider-accounts")
    assert [one["name"] for one in listed.json()["items"]][:2] == ["new", "main-email"]
    assert listed.json()["next_cursor"] is None
    for response in (created, replaced, shown, listed):
        assert "credentials" not in response.text
        assert SECRET not in response.text


async def test_credentials_are_left_out_the_stored_ones_stay(api: Api) -> None:
    await put(api, SENDGRID)
    without = {name: value for name, value in SENDGRID.items() if name != "credentials"}
    assert (await put(api, without | {"order": 1})).status_code == 200
    accounts = await api.hermod.core.storage.accounts.for_channel(api.tenant, Channel.EMAIL)
    assert {account.name: account.credentials for account in accounts}["new"] == {"api_key": SECRET}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "https://attacker.example"),
        ("https://mail.example.com/v3", None),
        ("https://mail.example.com/v3", "https://mail.example.org/v3"),
        ("https://mail.example.com/v3", "http://mail.example.com/v3"),
        ("https://mail.example.com/v3", "https://mail.example.com:8443/v3"),
        ("https://mail.example.com/v3", "https://mail.example.com/other"),
    ],
)
async def test_stored_credentials_never_go_to_another_address(api: Api, before: str | None, after: str | None) -> None:
    await put(api, SENDGRID | {"base_url": before})
    without = {name: value for name, value in SENDGRID.items() if name != "credentials"} | {"base_url": after}
    assert_problem(await put(api, without), 422, "invalid-input", "credentials")
    assert (await api.client.get("/v1/provider-accounts/new")).json()["base_url"] == before
    assert (await put(api, SENDGRID | {"base_url": after})).status_code == 200


async def test_same_address_in_another_spelling_keeps_the_stored_credentials(api: Api) -> None:
    await put(api, SENDGRID | {"base_url": "https://mail.example.com/v3"})
    without = {name: value for name, value in SENDGRID.items() if name != "credentials"}
    moved = await put(api, without | {"base_url": "https://MAIL.example.com:443/v3/"})
    assert moved.status_code == 200, moved.text


async def test_another_mail_server_gets_nothing_of_the_stored_login(api: Api) -> None:
    smtp = {"channel": "email", "provider": "smtp", "from": "shop@example.com"}
    login = {"host": "mail.example.com", "username": "mailer", "password": SECRET}
    await put(api, smtp | {"credentials": login})
    assert (await put(api, smtp | {"credentials": {"host": "attacker.example"}})).status_code == 200
    stored = await api.hermod.core.storage.accounts.stored(api.tenant, "new")
    assert stored is not None
    assert stored.credentials == {"host": "attacker.example"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"provider": "pigeon"}, "provider"),
        ({"channel": "fax"}, "channel"),
        ({"channel": "sms"}, "channel"),
        ({"credentials": {}}, "credentials.api_key"),
        ({"credentials": {"api_key": ""}}, "credentials.api_key"),
        ({"credentials": {"api_key": SECRET, "token": "x"}}, "credentials.token"),
        ({"credentials": {"api_key": SECRET + "\n"}}, "credentials.api_key"),
        ({"credentials": {"api_key": 5}}, "credentials.api_key"),
        ({"credentials": "x"}, "credentials"),
        ({"base_url": "ftp://example.com"}, "base_url"),
        ({"base_url": "https://a\0b"}, "base_url"),
        ({"from": "not an address"}, "from"),
        ({"from": "a\nb"}, "from"),
        ({"order": 1001}, "order"),
        ({"rate_per_second": 0}, "rate_per_second"),
        ({"enabled": "perhaps"}, "enabled"),
        ({"ordr": 1}, "ordr"),
    ],
)
async def test_account_is_wrong_is_refused_by_field_and_not_stored(
    api: Api, changes: dict[str, Any], field: str
) -> None:
    response = await put(api, SENDGRID | changes)
    assert_problem(response, 422, "invalid-input", field)
    assert SECRET not in response.text
    assert_problem(await api.client.get("/v1/provider-accounts/new"), 404, "not-found")


async def test_new_account_has_no_credentials_is_refused(api: Api) -> None:
    without = {name: value for name, value in SENDGRID.items() if name != "credentials"}
    assert_problem(await put(api, without), 422, "invalid-input", "credentials.api_key")


@pytest.mark.parametrize("name", ["UPPER", "a b", "%00", "-a", "a" * 64])
async def test_name_is_none_is_refused(api: Api, name: str) -> None:
    assert_problem(await put(api, SENDGRID, name), 422, "invalid-input", "name")


async def test_body_is_no_account_is_refused(api: Api) -> None:
    assert_problem(await put(api, []), 422, "invalid-input", "body")
    oversized = await api.client.put("/v1/provider-accounts/new", content=b" " * 70_000)
    assert_problem(oversized, 413, "body-too-large")
