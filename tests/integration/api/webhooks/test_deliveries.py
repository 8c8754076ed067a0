"""Deliveries as the API tells of them."""

from __future__ import annotations

from datetime import UTC, datetime

from hermod.contracts.webhooks.deliveries import DeliveryStatus
from tests.integration.api.conftest import Api
from tests.integration.api.webhooks.test_curl import delivery_of
from tests.support.webhooks.rows import WebhookRows


async def test_attempts_of_a_delivery_are_a_list_and_their_number_is_attempt_count(api: Api) -> None:
    delivery = await delivery_of(api, "https://example.com/hook")
    story = (await api.client.get(f"/v1/webhook-deliveries/{delivery}")).json()
    assert [(one["number"], one["outcome"]) for one in story["attempts"]] == [(1, "http_error"), (2, "http_error")]
    assert story["attempt_count"] == 2
    assert "log" not in story


async def test_list_of_deliveries_counts_the_attempts_under_the_same_name(api: Api) -> None:
    rows = await WebhookRows.make(api.hermod.core.storage.database, api.tenant, datetime.now(UTC))
    await rows.add(DeliveryStatus.FAILED)
    (listed,) = (await api.client.get("/v1/webhook-deliveries")).json()["items"]
    assert "attempts" not in listed
    assert isinstance(listed["attempt_count"], int)
