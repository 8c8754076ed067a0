"""The reference is kept: what an operation answers is what it documents, and what its schemas rule out is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

import httpx
import jsonschema_rs
import pytest

from devstack.servers.ports import LOOPBACK
from tests.integration.api.conftest import Api
from tests.support.product import settings_for
from web.app import create_app

DOCUMENT: Final[dict[str, Any]] = create_app(
    settings_for(f"postgresql://nobody@{LOOPBACK}:1/nothing", f"{LOOPBACK}:1")
).openapi()
PLACES: Final = {
    "name": "welcome",
    "session": "session-12345678",
    "version": "1",
    "device": "dev_" + "0" * 32,
    "subject": "session-12345678",
    "provider": "sendgrid",
    "tenant": "nobody",
    "account": "main",
    "token": "nothing",
}
IDS: Final = {
    "/v1/messages": "msg_",
    "/v1/webhook-endpoints": "whe_",
    "/v1/webhook-deliveries": "whd_",
    "/v1/webhook-replays": "rpl_",
    "/v1/submissions": "sub_",
    "/v1/suppressions": "sup_",
}
WRONG: Final[tuple[object, ...]] = (None, True, 7, 1.5, "\0", "x" * 3_000, [], [7], {}, {"unknown": 7})


class Operation(NamedTuple):
    method: str
    path: str
    told: dict[str, Any]

    @property
    def body(self) -> dict[str, Any] | None:
        content = self.told.get("requestBody", {}).get("content", {})
        found: dict[str, Any] | None = content.get("application/json")
        return found

    def examples(self) -> list[Any]:
        media = self.body or {}
        found = [example["value"] for example in media.get("examples", {}).values()]
        return found + ([media["example"]] if "example" in media else [])

    def address(self) -> str:
        """The path, filled in with names that nothing has."""
        own = next((prefix + "0" * 28 for place, prefix in IDS.items() if self.path.startswith(place)), "signup")
        filled = self.path.replace("{id}", own)
        for name, value in PLACES.items():
            filled = filled.replace("{" + name + "}", value)
        return filled


OPERATIONS: Final = [
    Operation(method.upper(), path, told)
    for path, operations in DOCUMENT["paths"].items()
    for method, told in operations.items()
]
WITH_BODIES: Final = [one for one in OPERATIONS if one.body is not None]


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def fits(value: object, schema: dict[str, Any]) -> bool:
    return bool(_validator(json.dumps(schema)).is_valid(value))


@cache
def _validator(schema: str) -> Any:
    whole = {**json.loads(schema), "components": DOCUMENT["components"]}
    return jsonschema_rs.validator_for(whole, validate_formats=True)


def assert_documented(operation: Operation, response: httpx.Response) -> None:
    """The status, the content type and the body are as the reference says."""
    responses = operation.told["responses"]
    status = str(response.status_code)
    assert status in responses, (status, response.text)  # "default" is for what no call asks for
    content = responses[status].get("content", {})
    kind = response.headers.get("content-type", "").partition(";")[0]
    if status == "204":
        assert response.content == b""
    if content:
        assert kind in content, (kind, status)
        if "json" in kind:
            assert fits(response.json(), content[kind].get("schema", {})), (status, response.text)


def mutants(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Bodies near a good one: a field that is wrong, missing, or unknown."""
    yield {**given, "no_such_field": 7}
    for name in given:
        yield {key: value for key, value in given.items() if key != name}
        for wrong in WRONG:
            yield {**given, name: wrong}


@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
async def test_call_is_made_its_answer_is_documented(api: Api, operation: Operation) -> None:
    for body in operation.examples() or [None]:
        response = await api.client.request(operation.method, operation.address(), json=body)
        assert_documented(operation, response)


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if "security" in one.told], ids=named)
async def test_call_is_made_without_a_key_its_answer_is_documented(api: Api, operation: Operation) -> None:
    del api.client.headers["authorization"]
    response = await api.client.request(operation.method, operation.address(), json=None)
    assert response.status_code == 401, response.text
    assert_documented(operation, response)


@pytest.mark.parametrize("operation", WITH_BODIES, ids=named)
async def test_body_does_not_fit_its_schema_it_is_refused_as_documented(api: Api, operation: Operation) -> None:
    assert operation.body is not None
    schema = operation.body["schema"]
    tried = 0
    for example in [*operation.examples()[:2], {}]:
        assert example == {} or fits(example, schema), example
        for body in [*mutants(example), [], "x", 7, None, [example]]:
            if fits(body, schema):
                continue
            tried += 1
            response = await api.client.request(operation.method, operation.address(), json=body)
            if operation.path in ("/v1/messages/batch", "/v1/events") and response.status_code == 202:
                assert response.json()["rejected"], (body, response.text)
            else:
                assert 400 <= response.status_code < 500, (str(body)[:300], response.text)
            assert_documented(operation, response)
    assert tried >= 5


@pytest.mark.parametrize("operation", WITH_BODIES, ids=named)
async def test_body_fits_its_schema_and_is_refused_only_for_a_reason_no_schema_can_give(
    api: Api, operation: Operation
) -> None:
    """A field of a text says how long it may be, a list and an object how many they may have."""
    assert operation.body is not None
    assert list(unbounded(operation.body["schema"], operation.path, set())) == []


def unbounded(schema: Any, place: str, seen: set[str]) -> Iterator[str]:
    if isinstance(schema, list):
        for one in schema:
            yield from unbounded(one, place, seen)
        return
    if not isinstance(schema, dict):
        return
    if (name := schema.get("$ref", "").rpartition("/")[2]) and name not in seen:
        seen.add(name)
        yield from unbounded(DOCUMENT["components"]["schemas"][name], name, seen)
    if schema.get("type") == "string" and not schema.keys() & {"pattern", "maxLength", "enum", "const", "format"}:
        yield place
    if schema.get("type") == "array" and "maxItems" not in schema:
        yield place
    for key, inner in schema.items():
        if key == "properties":
            for field, one in inner.items():
                yield from unbounded(one, f"{place}.{field}", seen)
        elif key not in ("default", "example", "examples", "mapping"):
            yield from unbounded(inner, place, seen)


def test_operations_are_all_there() -> None:
    assert len(OPERATIONS) > 60
    assert len(WITH_BODIES) >= 20
    assert all("default" in one.told["responses"] for one in OPERATIONS)
    assert all("415" in one.told["responses"] for one in WITH_BODIES)
    assert all(
        parameter["schema"].keys() & {"pattern", "maxLength"}
        for one in OPERATIONS
        for parameter in one.told.get("parameters", ())
        if parameter["in"] == "path" and parameter["schema"].get("type") == "string"
    )
