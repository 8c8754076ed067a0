"""`/v1/retention`: how long and how many of a tenant's records are kept, by kind."""

from __future__ import annotations

import pytest

from tests.integration.api.conftest import Api, assert_problem

PATH = "/v1/retention"
EARLIER = {"completed": {"age": "24h", "count": 100}, "failed": {"age": "7d", "count": 50}}


async def test_retention_is_put_by_age_and_count_and_shown(api: Api) -> None:
    nothing = {"completed": {"age": None, "count": None}, "failed": {"age": None, "count": None}}
    assert (await api.client.get(PATH)).json() == {"messages": nothing, "webhook_deliveries": nothing}
    response = await api.client.put(PATH, json={"messages": EARLIER})
    assert response.status_code == 200, response.text
    shown = (await api.client.get(PATH)).json()
    assert shown == response.json()
    assert shown["messages"] == {"completed": {"age": "P1D", "count": 100}, "failed": {"age": "P7D", "count": 50}}
    assert (await api.client.put(PATH, json=shown)).json() == shown
    audited = await api.rows("SELECT * FROM audit WHERE tenant_id = :tenant AND action = 'retention.put'")
    assert len(audited) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"emails": {}}, "emails"),
        ({"messages": {"completed": {"age": "soon"}}}, "messages.completed.age"),
        ({"messages": {"completed": {"age": "30m"}}}, "messages.completed.age"),
        ({"messages": {"completed": {"age": True}}}, "messages.completed.age"),
        ({"messages": {"failed": {"count": -1}}}, "messages.failed.count"),
        ({"messages": {"failed": {"count": "50"}}}, "messages.failed.count"),
        ({"messages": {"failed": {"count": True}}}, "messages.failed.count"),
    ],
)
async def test_retention_that_is_wrong_names_the_field(api: Api, body: object, field: str) -> None:
    assert_problem(await api.client.put(PATH, json=body), 422, "invalid-input", field)
