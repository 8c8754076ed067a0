"""`/v1/webhook-endpoints`: what may be stored, what is shown, and what a receiver gets when it is tried out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from hermod.bootstrap import open_poster
from starter import Hermod, InvalidSignature, verify_webhook
from tests.integration.api.conftest import Api, assert_problem, calling, new_api
from tests.integration.api.http.test_reference import examples
from tests.support.hostile import Hostile
from web.app import create_app
from web.examples import ENDPOINT_BODY, ENDPOINT_CHANGES_BODY, ROTATION_BODY

URL = "https://shop.example.com/webhooks"
PATH = "/v1/webhook-endpoints"


async def create(api: Api, **settings: Any) -> httpx.Response:
    return await api.client.post(PATH, json={"url": URL} | settings)


async def created(api: Api, **settings: Any) -> dict[str, Any]:
    response = await create(api, **settings)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def change(api: Api, endpoint: str, **changes: Any) -> httpx.Response:
    return await api.client.patch(f"{PATH}/{endpoint}", json=changes)


async def shown(api: Api, endpoint: str) -> dict[str, Any]:
    response = await api.client.get(f"{PATH}/{endpoint}")
    assert response.status_code == 200, response.text
    view: dict[str, Any] = response.json()
    return view


@pytest.fixture
async def receiver() -> AsyncIterator[Hostile]:
    async with Hostile() as hostile:
        yield hostile


@pytest.fixture
async def strict(process: Hermod) -> AsyncIterator[Api]:
    """The API where private addresses are off limits, as it is in production."""
    settings = process.core.settings.model_copy(
        update={"allow_private_addresses": False, "webhook_allowed_hosts": ("10.20.0.0/16", "hooks.internal")}
    )
    async with open_poster(settings) as poster:
        hermod = Hermod(replace(process.core, settings=settings, poster=poster), "nobody", "test")
        app = create_app(settings, hermod=hermod)
        async with calling(app) as client:
            yield await new_api(hermod, app, client)


async def test_endpoint_created_shows_its_secret_this_once(api: Api) -> None:
    made = await created(api, event_types=["order.*"], description="ERP", headers={"X-Token": "hidden"})
    assert made["id"].startswith("whe_")
    assert made["secret"].startswith("whsec_")
    view = await shown(api, made["id"])
    assert view == {name: value for name, value in made.items() if name != "secret"}
    assert {name: view[name] for name in ("url", "event_types", "description", "headers", "enabled", "retry")} == {
        "url": URL,
        "event_types": ["order.*"],
        "description": "ERP",
        "headers": ["X-Token"],
        "enabled": True,
        "retry": "webhook",
    }
    assert (view["timeout_seconds"], view["concurrency"], view["disabled_reason"], view["parked"]) == (15, 10, None, 0)
    listed = await api.client.get(PATH)
    assert listed.json() == {"items": [view], "next_cursor": None}
    assert "hidden" not in listed.text + orjson.dumps(made).decode()


async def test_list_goes_on_where_the_page_before_ended(api: Api) -> None:
    made = {(await created(api))["id"] for _ in range(3)}
    first = (await api.client.get(PATH, params={"limit": 2})).json()
    second = (await api.client.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    listed = [one["id"] for one in first["items"] + second["items"]]
    assert (set(listed), listed) == (made, sorted(made, reverse=True))
    assert second["next_cursor"] is None
    for query in ({"cursor": "x"}, {"limit": "0"}, {"limit": "201"}, {"page": "2"}):
        assert_problem(await api.client.get(PATH, params=query), 422, "invalid-input", next(iter(query)))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"url": None}, "url"),
    ({"url": "shop.example.com"}, "url"),
    ({"url": "ftp://shop.example.com/"}, "url"),
    ({"url": "https://shop example.com/"}, "url"),
    ({"url": "https://user:password@shop.example.com/"}, "url"),
    ({"url": "https://shop.example.com/#part"}, "url"),
    ({"url": "https://shop.example.com/" + "x" * 2048}, "url"),
    ({"url": "https://:443/"}, "url"),
    ({"url": "https://shop.example.com/\0"}, "url"),
    ({"url": "https://shop.example.com:99999/"}, "url"),
    ({"event_types": []}, "event_types"),
    ({"event_types": "order.paid"}, "event_types"),
    ({"event_types": ["order.*.paid"]}, "event_types.0"),
    ({"event_types": ["*"] * 101}, "event_types"),
    ({"filter": [{"path": "data.a", "value": 1}] * 21}, "filter"),
    ({"filter": [{"path": "data.a", "op": "gt", "value": "5"}]}, "filter.0.value"),
    ({"description": "x" * 501}, "description"),
    ({"description": "a\0b"}, "description"),
    ({"retry": "sms"}, "retry"),
    ({"retry": []}, "retry"),
    ({"retry": [1] * 21}, "retry"),
    ({"retry": [1, -1]}, "retry.1"),
    ({"retry": [90_000]}, "retry.0"),
    ({"timeout_seconds": 0.5}, "timeout_seconds"),
    ({"timeout_seconds": 31}, "timeout_seconds"),
    ({"rate_per_second": 0}, "rate_per_second"),
    ({"max_concurrency": 0}, "max_concurrency"),
    ({"max_concurrency": 101}, "max_concurrency"),
    ({"ordering": "by_time"}, "ordering"),
    ({"when_exhausted": "forget"}, "when_exhausted"),
    ({"when_exhausted": "skip"}, "skip_after"),
    ({"skip_after": 3}, "skip_after"),
    ({"headers": {"x": 5}}, "headers.x"),
    ({"headers": {"x": "a\r\nb: c"}}, "headers.x"),
    ({"headers": {"x": "é"}}, "headers.x"),
    ({"headers": {"x": " "}}, "headers.x"),
    ({"headers": {"x": ""}}, "headers.x"),
    ({"headers": {"x y": "a"}}, "headers.x y"),
    ({"headers": {"x:": "a"}}, "headers.x:"),
    ({"headers": {"é": "a"}}, "headers.é"),
    ({"headers": {"x" * 101: "a"}}, "headers." + "x" * 101),
    ({"headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a"),
    ({"headers": {str(number): "a" for number in range(21)}}, "headers"),
    *(
        ({"headers": {name: "a"}}, f"headers.{name}")
        for name in ("Webhook-Id", "webhook-anything", "Content-Type", "content-length", "content-md5")
    ),
    *(
        ({"headers": {name: "a"}}, f"headers.{name}")
        for name in ("Host", "Connection", "TE", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Expect")
    ),
    ({"asymmetric": "perhaps"}, "asymmetric"),
    ({"enabled": None}, "enabled"),
    ({"secret": "whsec_mine"}, "secret"),
]


@pytest.mark.parametrize(("settings", "field"), WRONG, ids=lambda value: str(value)[:60])
async def test_endpoint_with_a_wrong_setting_is_refused(api: Api, settings: dict[str, Any], field: str) -> None:
    assert_problem(await create(api, **settings), 422, "invalid-input", field)
    assert (await api.client.get(PATH)).json()["items"] == []


async def test_endpoint_with_several_wrong_settings_names_each(api: Api) -> None:
    response = await create(api, url="https://u:p@example.com", headers={"host": "x", "a b": "c"})
    assert [error["field"] for error in response.json()["errors"]] == ["url", "headers.host", "headers.a b"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5"])
async def test_body_that_is_no_object_is_refused(api: Api, body: bytes) -> None:
    made = await created(api)
    for response in (
        await api.client.post(PATH, content=body),
        await api.client.patch(f"{PATH}/{made['id']}", content=body),
    ):
        assert response.status_code in (400, 422), response.text
    assert (await api.client.post(PATH, content=b" " * (64 * 1024 + 1))).status_code == 413


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example.com/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://a.localhost./",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://10.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://169.254.169.254/latest/meta-data?x=1",
    ],
)
async def test_url_that_is_off_limits_is_refused_at_create_and_change(strict: Api, url: str) -> None:
    assert_problem(await create(strict, url=url), 422, "invalid-input", "url")
    made = await created(strict)
    assert_problem(await change(strict, made["id"], url=url), 422, "invalid-input", "url")
    assert (await shown(strict, made["id"]))["url"] == URL


@pytest.mark.parametrize(
    "url", ["https://example.com/?token=1&x", "https://1.1.1.1:8443/", "https://10.20.3.4/", "http://hooks.internal/in"]
)
async def test_url_that_is_public_or_on_the_operators_list_is_taken(strict: Api, url: str) -> None:
    assert (await created(strict, url=url))["url"] == url


async def test_try_out_of_an_address_that_is_off_limits_by_now_is_refused(strict: Api, receiver: Hostile) -> None:
    made = await created(strict)
    await strict.rows(f"UPDATE webhook_endpoints SET url = '{receiver.url}' WHERE tenant_id = :tenant RETURNING id")
    assert_problem(await strict.client.post(f"{PATH}/{made['id']}/test"), 422, "invalid-input", "url")
    assert receiver.connections == 0


async def test_change_leaves_what_it_does_not_name(api: Api) -> None:
    made = await created(api, description="mine", rate_per_second=5, headers={"X-A": "1", "X-B": "2"})
    response = await change(api, made["id"], rate_per_second=None, event_types=["order.paid"])
    assert response.status_code == 200, response.text
    view = response.json()
    assert (view["description"], view["rate_per_second"], view["event_types"]) == ("mine", None, ["order.paid"])
    assert view == await shown(api, made["id"])
    for unchanged in ("url", "headers", "retry", "created_at", "public_key"):
        assert view[unchanged] == made[unchanged]


async def test_change_of_headers_is_merged_by_name(api: Api, receiver: Hostile) -> None:
    made = await created(api, url=receiver.url, headers={"X-Keep": "1", "X-Change": "2", "X-Drop": "3"})
    view = (await change(api, made["id"], headers={"x-change": "two", "X-DROP": None, "X-New": "4"})).json()
    assert view["headers"] == ["x-change", "X-Keep", "X-New"]
    await api.client.post(f"{PATH}/{made['id']}/test")
    got = {name: value for name, value in receiver.requests[0].headers.items() if name.startswith("x-")}
    assert {name: got.get(name) for name in ("x-keep", "x-change", "x-new", "x-drop")} == {
        "x-keep": "1",
        "x-change": "two",
        "x-new": "4",
        "x-drop": None,
    }


@pytest.mark.parametrize(("settings", "field"), WRONG, ids=lambda value: str(value)[:60])
async def test_change_to_a_wrong_setting_is_refused(api: Api, settings: dict[str, Any], field: str) -> None:
    made = await created(api)
    assert_problem(await change(api, made["id"], **settings), 422, "invalid-input", field)
    assert (await shown(api, made["id"]))["updated_at"] == made["updated_at"]


async def test_choice_that_needs_no_number_takes_it_away(api: Api) -> None:
    made = await created(api, when_exhausted="skip", skip_after=3)
    assert_problem(await change(api, made["id"], skip_after=None), 422, "invalid-input", "skip_after")
    view = (await change(api, made["id"], when_exhausted="block")).json()
    assert (view["when_exhausted"], view["skip_after"]) == ("block", None)


async def test_endpoint_disabled_and_enabled_again(api: Api) -> None:
    made = await created(api)
    view = (await change(api, made["id"], enabled=False)).json()
    assert (view["enabled"], view["disabled_reason"]) == (False, "manual")
    assert view["disabled_at"] is not None
    for enable in (
        api.client.post(f"{PATH}/{made['id']}/enable"),
        change(api, made["id"], enabled=True),
    ):
        view = (await enable).json()
        assert (view["enabled"], view["disabled_reason"], view["disabled_at"]) == (True, None, None)
        await change(api, made["id"], enabled=False)


async def test_endpoint_deleted_is_gone(api: Api) -> None:
    made = await created(api)
    assert (await api.client.delete(f"{PATH}/{made['id']}")).status_code == 204
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/enable"),
        ("POST", "/test"),
        ("POST", "/rotate-secret"),
    ):
        response = await api.client.request(method, f"{PATH}/{made['id']}{path}")
        assert_problem(response, 404, "not-found")
    assert_problem(await change(api, made["id"], enabled=True), 404, "not-found")


@pytest.mark.parametrize("endpoint", ["whe_1", "a" * 300, "%00", "é"])
async def test_endpoint_unknown_is_not_found(api: Api, endpoint: str) -> None:
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/enable"),
        ("POST", "/test"),
        ("POST", "/rotate-secret"),
    ):
        assert_problem(await api.client.request(method, f"{PATH}/{endpoint}{path}"), 404, "not-found")
    assert_problem(await change(api, endpoint, enabled=True), 404, "not-found")


async def test_endpoint_of_another_tenant_is_not_found(api: Api, process: Hermod) -> None:
    made = await created(api)
    async with calling(api.app) as client:
        stranger = await new_api(process, api.app, client)
        assert_problem(await stranger.client.get(f"{PATH}/{made['id']}"), 404, "not-found")
        assert_problem(await change(stranger, made["id"], enabled=False), 404, "not-found")
        assert (await stranger.client.get(PATH)).json()["items"] == []


async def test_try_out_sends_a_signed_event_and_tells_what_came_of_it(api: Api, receiver: Hostile) -> None:
    made = await created(api, url=f"{receiver.url}?source=shop", asymmetric=True, headers={"authorization": "Bearer t"})
    response = await api.client.post(f"{PATH}/{made['id']}/test", headers={"x-request-id": "mine"})
    assert response.status_code == 200, response.text
    tried, (got,) = response.json(), receiver.requests
    verify_webhook(got.body, got.headers, made["secret"])
    verify_webhook(got.body, got.headers, made["public_key"])
    with pytest.raises(InvalidSignature):
        verify_webhook(got.body + b" ", got.headers, made["secret"])
    body = orjson.loads(got.body)
    assert (body["type"], body["data"]) == ("hermod.test", {"endpoint_id": made["id"]})
    assert (got.method, got.target.endswith("?source=shop")) == ("POST", True)
    assert (got.headers["authorization"], got.headers["x-request-id"]) == ("Bearer t", "mine")
    assert (tried["number"], tried["outcome"], tried["status_code"], tried["error"]) == (1, "success", 200, None)
    assert tried["address"] == "127.0.0.1"
    assert tried["phases"]["connect"] is not None
    assert tried["request_headers"]["webhook-id"] == got.headers["webhook-id"]
    assert "Bearer t" not in response.text
    assert await api.rows("SELECT 1 FROM webhook_deliveries WHERE tenant_id = :tenant") == []


@pytest.mark.parametrize(
    ("turn", "outcome", "status"),
    [("503", "http_error", 503), ("304", "redirect", 304), ("410", "http_error", 410), ("reset", None, None)],
)
async def test_try_out_of_a_receiver_that_fails_is_an_answer_and_changes_nothing(
    api: Api, receiver: Hostile, turn: str, outcome: str | None, status: int | None
) -> None:
    made = await created(api, url=receiver.url)
    receiver.behave(turn)
    response = await api.client.post(f"{PATH}/{made['id']}/test")
    assert response.status_code == 200, response.text
    assert response.json()["status_code"] == status
    assert response.json()["outcome"] == outcome or outcome is None
    assert len(receiver.requests) == 1
    assert await shown(api, made["id"]) == {name: value for name, value in made.items() if name != "secret"}


async def test_try_out_of_a_disabled_endpoint_works(api: Api, receiver: Hostile) -> None:
    made = await created(api, url=receiver.url, enabled=False)
    assert (await api.client.post(f"{PATH}/{made['id']}/test")).json()["outcome"] == "success"


async def test_secret_rotated_signs_beside_the_old_one(api: Api, receiver: Hostile) -> None:
    made = await created(api, url=receiver.url)
    response = await api.client.post(f"{PATH}/{made['id']}/rotate-secret", json={"overlap_hours": 48})
    rotated = response.json()
    until = datetime.fromisoformat(rotated["old_valid_until"]) - datetime.now(UTC)
    assert timedelta(hours=47.9) < until <= timedelta(hours=48)
    await api.client.post(f"{PATH}/{made['id']}/test")
    for secret in (made["secret"], rotated["secret"]):
        verify_webhook(receiver.requests[-1].body, receiver.requests[-1].headers, secret)
    last = (await api.client.post(f"{PATH}/{made['id']}/rotate-secret", json={"overlap_hours": 0})).json()
    await api.client.post(f"{PATH}/{made['id']}/test")
    got = receiver.requests[-1]
    verify_webhook(got.body, got.headers, last["secret"])
    for secret in (made["secret"], rotated["secret"]):
        with pytest.raises(InvalidSignature):
            verify_webhook(got.body, got.headers, secret)


async def test_secret_rotated_too_often_is_a_conflict(api: Api) -> None:
    made = await created(api)
    statuses = [(await api.client.post(f"{PATH}/{made['id']}/rotate-secret")).status_code for _ in range(10)]
    assert statuses == [200] * 9 + [409]


@pytest.mark.parametrize(
    ("body", "field"),
    [({"overlap_hours": -1}, "overlap_hours"), ({"overlap_hours": 721}, "overlap_hours"), ({"days": 1}, "days")],
)
async def test_rotation_that_is_wrong_is_refused(api: Api, body: dict[str, Any], field: str) -> None:
    made = await created(api)
    response = await api.client.post(f"{PATH}/{made['id']}/rotate-secret", json=body)
    assert_problem(response, 422, "invalid-input", field)


async def test_access_without_a_key_is_refused(api: Api) -> None:
    made = await created(api)
    async with calling(api.app) as stranger:
        assert (await stranger.post(PATH, json={"url": URL})).status_code == 401
        assert (await stranger.post(f"{PATH}/{made['id']}/test")).status_code == 401


async def test_examples_of_the_reference_work(api: Api) -> None:
    for example in examples(ENDPOINT_BODY):
        headers = {name: value.replace("…", "x") for name, value in example.get("headers", {}).items()}
        made = await created(api, **example | {"headers": headers})
        for changes in examples(ENDPOINT_CHANGES_BODY):
            assert (await change(api, made["id"], **changes)).status_code == 200
        for rotation in examples(ROTATION_BODY):
            response = await api.client.post(f"{PATH}/{made['id']}/rotate-secret", json=rotation)
            assert response.status_code == 200
    schemas = (await api.client.get("/openapi.json")).json()["components"]["schemas"]
    assert "required" not in schemas["EndpointChanges"]
    assert schemas["EndpointSettings"]["required"] == ["url"]
