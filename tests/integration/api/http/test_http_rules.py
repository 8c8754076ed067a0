"""HTTP as its rules have it: content types, HEAD, OPTIONS, paths as they are written, problems as every error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.api.conftest import EMAIL, Api, assert_problem

JSON = json.dumps(EMAIL).encode()
OTHERS = (
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/xml",
    "application/jsonp",
    "application/json; charset=latin-1",
    "multipart/form-data; boundary=x",
    "json",
    "text/plain, application/json",
)


async def with_bodies(api: Api) -> list[tuple[str, str]]:
    """Every call of a tenant that has a body of JSON, from the reference."""
    paths: dict[str, Any] = (await api.client.get("/openapi.json")).json()["paths"]
    return [
        (method, path.replace("{id}", "x1").replace("{name}", "x1").replace("{session}", "session-12345678"))
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "requestBody" in operation and "security" in operation
    ]


@pytest.mark.parametrize("content_type", OTHERS)
async def test_body_is_said_to_be_no_json_it_is_not_taken_as_json(api: Api, content_type: str) -> None:
    headers = {"content-type": content_type}
    response = await api.client.post("/v1/messages", content=JSON, headers=headers)
    assert_problem(response, 415, "unsupported-media-type")
    assert "application/json" in response.json()["detail"]
    assert response.headers["accept"] == "application/json"
    assert await api.stored() == 0


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON;charset=UTF-8", "application/vnd.shop+json", None]
)
async def test_body_is_said_to_be_json_or_nothing_it_is_taken(api: Api, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    response = await api.client.post("/v1/messages", content=JSON, headers=headers)
    assert response.status_code == 202, response.text


async def test_every_call_with_a_body_refuses_another_content_type(api: Api) -> None:
    calls = await with_bodies(api)
    assert len(calls) >= 20
    for method, path in calls:
        response = await api.client.request(method, path, content=b"a=b", headers={"content-type": OTHERS[1]})
        assert_problem(response, 415, "unsupported-media-type")


async def test_body_is_compressed_it_is_said_that_it_may_not_be(api: Api) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = await api.client.post("/v1/messages", content=JSON, headers=headers)
    assert_problem(response, 415, "unsupported-media-type")
    assert response.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "path", ["/v1%2fmessages", "/v1%2Fmessages", "/v1/messages%2fbatch", "/%2fv1/messages", "/v1/templates/a%2Fb"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_slash_of_a_path_is_escaped_it_is_no_slash(api: Api, method: str, path: str) -> None:
    response = await api.client.request(method, path, content=JSON if method == "POST" else None)
    assert_problem(response, 404, "not-found")
    assert await api.stored() == 0


@pytest.mark.parametrize(
    "path", ["/v1/messages", "/health", "/metrics", "/openapi.json", "/docs", "/v1/messages/msg_none", "/nothing", "/"]
)
async def test_head_is_answered_like_get_without_a_body(api: Api, path: str) -> None:
    head, get = await api.client.head(path), await api.client.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert (
        head.headers["content-type" if path != "/" else "location"]
        == get.headers["content-type" if path != "/" else "location"]
    )


async def test_head_of_a_call_that_has_no_get_is_refused(api: Api) -> None:
    response = await api.client.head("/v1/messages/batch/x/y")
    assert (response.status_code, response.content) == (404, b"")
    response = await api.client.head("/v1/webhook-events")
    assert (response.status_code, response.headers["allow"]) == (405, "OPTIONS, POST")


ALLOWED = [
    ("/v1/messages", "GET, HEAD, OPTIONS, POST"),
    ("/v1/templates/welcome", "GET, HEAD, OPTIONS, PUT"),
    ("/v1/webhook-endpoints/whe_1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
    ("/v1/messages/msg_1/cancel", "OPTIONS, POST"),
    ("/health", "GET, HEAD, OPTIONS"),
    ("/openapi.json", "GET, HEAD, OPTIONS"),
]


@pytest.mark.parametrize(("path", "allowed"), ALLOWED)
async def test_method_is_not_possible_the_answer_names_all_that_are(api: Api, path: str, allowed: str) -> None:
    for method in ("TRACE", "BREW", "PATCH" if "PATCH" not in allowed else "PUT"):
        response = await api.client.request(method, path)
        assert_problem(response, 405, "method-not-allowed")
        assert response.headers["allow"] == allowed


@pytest.mark.parametrize(("path", "allowed"), ALLOWED)
async def test_options_are_asked_for_they_are_told_without_a_key(api: Api, path: str, allowed: str) -> None:
    del api.client.headers["authorization"]
    response = await api.client.options(path)
    assert (response.status_code, response.content, response.headers["allow"]) == (204, b"", allowed)


async def test_options_of_nothing_are_not_found(api: Api) -> None:
    assert_problem(await api.client.options("/nothing"), 404, "not-found")


@pytest.mark.parametrize("path", ["/nothing", "/docs/assets/nothing.js", "/v1", "/v1/messages/", "/docs/assets/../x"])
async def test_nothing_is_there_the_answer_is_a_problem(api: Api, path: str) -> None:
    assert_problem(await api.client.get(path), 404, "not-found")


async def test_asset_is_posted_the_answer_is_a_problem(api: Api) -> None:
    assert_problem(await api.client.post("/docs/assets/swagger-ui.css"), 405, "method-not-allowed")


async def test_flag_of_a_query_is_a_word_it_is_refused(api: Api) -> None:
    for word in ("yes", "1", "on"):
        response = await api.client.get("/v1/payment-events", params={"unlinked": word})
        assert_problem(response, 422, "invalid-input", "unlinked")
    assert (await api.client.get("/v1/payment-events", params={"unlinked": "true"})).status_code == 200
