"""The secret headers of a webhook endpoint belong to the origin that they were given for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api.conftest import Api, assert_problem
from tests.integration.api.webhooks.test_endpoints import URL, change, created, shown


@pytest.mark.parametrize(
    "url",
    [
        "https://attacker.example/webhooks",
        "https://shop.example.com.attacker.example/webhooks",
        "https://shop.example.com:8443/webhooks",
        "https://hooks.shop.example.com/webhooks",
    ],
)
async def test_secret_headers_never_go_to_another_origin(api: Api, url: str) -> None:
    made = await created(api, headers={"Authorization": "Bearer t", "X-Token": "hidden"})
    kept: tuple[dict[str, Any], ...] = ({}, {"headers": {}}, {"headers": {"X-New": "1"}})
    for given in kept:
        response = await change(api, made["id"], url=url, **given)
        assert_problem(response, 422, "invalid-input", "headers.Authorization")
    partly = await change(api, made["id"], url=url, headers={"authorization": "Bearer new"})
    assert [error["field"] for error in partly.json()["errors"]] == ["headers.X-Token"]
    assert (await shown(api, made["id"]))["url"] == URL
    moved = await change(api, made["id"], url=url, headers={"authorization": "Bearer new", "x-token": None})
    assert (moved.status_code, moved.json()["url"], moved.json()["headers"]) == (200, url, ["authorization"])


async def test_another_path_of_the_same_origin_keeps_the_secret_headers(api: Api) -> None:
    made = await created(api, headers={"X-Token": "hidden"})
    moved = await change(api, made["id"], url="https://SHOP.example.com:443/other?x=1")
    assert (moved.status_code, moved.json()["headers"]) == (200, ["X-Token"])
