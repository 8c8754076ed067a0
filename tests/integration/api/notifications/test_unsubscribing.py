"""`/u/{token}`: a page that changes nothing by being looked at, one click, and the way back."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Category
from hermod.contracts.notifications.suppressions import Reason, SuppressionInput
from hermod.ports.notifications.unsubscribing import Subscription
from starter.notifications.suppressions import suppress
from tests.integration.api.conftest import Api

ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = {"content-type": "application/x-www-form-urlencoded"}
MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n',
    {"content-type": "multipart/form-data; boundary=x"},
)


def link(api: Api, address: str = "ada@example.com", channel: Channel = Channel.EMAIL) -> str:
    about = Subscription(tenant=api.tenant, channel=channel, category=Category.MARKETING, address=address)
    return f"/u/{api.hermod.core.storage.unsubscribe_links.token(about)}"


async def stands(api: Api) -> list[tuple[Any, ...]]:
    rows = await api.rows("SELECT * FROM suppressions WHERE tenant_id = :tenant ORDER BY reason")
    return [(row.address, row.channel, row.category, row.reason, row.source) for row in rows]


UNSUBSCRIBED = ("ada@example.com", "email", "marketing", "unsubscribed", "recipient")


async def test_page_is_looked_at_changes_nothing(api: Api) -> None:
    assert (await api.client.head(link(api))).status_code == 200
    response = await api.client.get(link(api))
    assert response.status_code == 200
    assert "Unsubscribe?" in response.text
    assert f"{api.tenant} sends marketing emails to" in response.text
    assert "a…@example.com" in response.text
    assert "ada@example.com" not in response.text
    assert await stands(api) == []


async def test_page_loads_nothing_from_elsewhere_and_may_not_be_framed_or_kept(api: Api) -> None:
    response = await api.client.get(link(api))
    assert re.findall(r"(?:src|href|action|url)\s*[=(]", response.text) == []
    assert "<script" not in response.text
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert (response.headers["cache-control"], response.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert '<html lang="en">' in response.text


async def test_button_unsubscribes_at_once_and_undo_takes_it_back(api: Api) -> None:
    done = await api.client.post(link(api), data={"action": "unsubscribe"})
    assert (done.status_code, done.history) == (200, [])
    assert "You are unsubscribed" in done.text
    assert await stands(api) == [UNSUBSCRIBED]
    assert "You are unsubscribed" in (await api.client.get(link(api))).text
    undone = await api.client.post(link(api), data={"action": "resubscribe"})
    assert "You are subscribed again" in undone.text
    assert await stands(api) == []
    audited = await api.rows("SELECT actor, action FROM audit WHERE tenant_id = :tenant ORDER BY id")
    assert [tuple(row) for row in audited][-2:] == [("recipient", "suppression.add"), ("hermod", "suppression.lift")]


@pytest.mark.parametrize(
    ("body", "headers"),
    [(ONE_CLICK.encode(), FORM), MULTIPART, (b"", {}), (b"\xff\xfe", FORM), (b'{"a": 1}', {"content-type": "a/b"})],
)
async def test_one_click_unsubscribes_without_cookies_or_redirects(
    api: Api, body: bytes, headers: dict[str, str]
) -> None:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://hermod.test")
    async with client:
        for _ in range(2):
            response = await client.post(link(api), content=body, headers=headers)
            assert (response.status_code, response.text) == (200, "unsubscribed\n")
    assert await stands(api) == [UNSUBSCRIBED]


async def test_undo_lifts_nothing_that_others_put_there(api: Api) -> None:
    one = SuppressionInput(address="ada@example.com", channel=Channel.EMAIL, category=Category.MARKETING)
    await suppress(api.hermod, one)
    await api.client.post(link(api), data={"action": "unsubscribe"})
    await api.client.post(link(api), data={"action": "resubscribe"})
    assert [row[3] for row in await stands(api)] == [Reason.MANUAL]


async def test_link_for_a_number_is_about_texts(api: Api) -> None:
    sms = link(api, "+14155550100", Channel.SMS)
    assert "marketing text messages to <strong>…0100</strong>" in (await api.client.get(sms)).text
    await api.client.post(sms)
    assert await stands(api) == [("+14155550100", "sms", "marketing", "unsubscribed", "recipient")]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("token", ["x", "A" * 100, "%00", "é", "A" * 4000])
async def test_link_is_nobodys_is_explained(api: Api, method: str, token: str) -> None:
    response = await api.client.request(method, f"/u/{token}")
    assert response.status_code == 404
    assert "This link does not work" in response.text
    assert await stands(api) == []


async def test_form_is_endless_is_refused(api: Api) -> None:
    assert (await api.client.post(link(api), content=bytes(20_000))).status_code == 413
    assert await stands(api) == []
