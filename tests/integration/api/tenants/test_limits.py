"""`/v1/limits`, and the rate that an account shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api.conftest import Api, assert_problem


async def test_limits_are_put_replace_those_there_were(api: Api) -> None:
    assert (await api.client.get("/v1/limits")).json() == {"rate_per_second": None, "domains": {}}
    given = {"rate_per_second": 100, "domains": {"Gmail.com": 20, "example.org": 0.5}}
    put = await api.client.put("/v1/limits", json=given)
    assert put.json() == {"rate_per_second": 100, "domains": {"example.org": 0.5, "gmail.com": 20}}
    assert (await api.client.get("/v1/limits")).json() == put.json()
    rules = await api.hermod.core.storage.limits.rules(api.tenant)
    assert (rules.rate, rules.domains) == (100, {"example.org": 0.5, "gmail.com": 20})
    await api.client.put("/v1/limits", json={"domains": {"gmail.com": 5}})
    assert (await api.client.get("/v1/limits")).json() == {"rate_per_second": None, "domains": {"gmail.com": 5}}
    assert len(await api.rows("SELECT 1 FROM audit WHERE tenant_id = :tenant AND action = 'limits.put'")) == 2


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"rate_per_second": 0}, "rate_per_second"),
        ({"rate_per_second": "fast"}, "rate_per_second"),
        ({"domains": {"gmail.com": -1}}, "domains.gmail.com"),
        ({"rate": 5}, "rate"),
    ],
)
async def test_limits_make_no_sense_are_refused(api: Api, limits: dict[str, Any], field: str) -> None:
    assert_problem(await api.client.put("/v1/limits", json=limits), 422, "invalid-input", field)


async def test_domain_makes_no_sense_is_refused(api: Api) -> None:
    assert (await api.client.put("/v1/limits", json={"domains": {"not a domain": 1}})).status_code == 422


@pytest.mark.parametrize(
    ("provider", "own", "effective"), [("sendgrid", None, 10), ("sendgrid", 50, 50), ("sandbox", None, None)]
)
async def test_account_shows_the_rate_that_applies(
    api: Api, provider: str, own: float | None, effective: float | None
) -> None:
    account = {"channel": "email", "provider": provider, "credentials": {"api_key": "k"}, "rate_per_second": own}
    if provider == "sandbox":
        account["base_url"] = "http://127.0.0.1:9/sandbox"
    shown = (await api.client.put("/v1/provider-accounts/new", json=account)).json()
    assert (shown["rate_per_second"], shown["effective_rate"]) == (own, effective)
