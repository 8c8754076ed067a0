"""The reference is tried out with made-up calls, right ones and wrong ones: they are answered as it says.

The calls are the same in every run. What the reference rules out is refused. What it allows is taken, but for reasons
that no schema can give, which are listed here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Final

import httpx
import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from devstack.servers.clickhouse import ClickHouseServer
from devstack.servers.ports import LOOPBACK, free_port
from devstack.servers.postgres import Postgres
from hermod.analytics.places import Server
from starter import Hermod
from tests.integration.api.conftest import EMAIL, Api, calling, new_api
from tests.support.analytics.clickhouse import opened, schema_of
from tests.support.product import settings_for
from web.app import create_app

MOST_AT_THE_EDGES: Final = 60
"""Calls for an operation with values at and beside its bounds, out of all that there are."""
MOST_AT_RANDOM: Final = 6
"""Calls for an operation with any values that fit, and as many with some that do not."""
NAME: Final = "reference"
AWAY: Final = frozenset({"/health", "/queue/health", "/api/v1/workers/health"})
"""They say with 503 that Temporal is away, as it is here."""
ONE_BY_ONE: Final = frozenset({"/v1/messages/batch", "/v1/events"})
"""They take what is right of a list, and name the rest in `rejected`."""
SIGNED: Final = "/ingress/"
"""Stripe and the providers sign their calls, and nobody can make up a signature."""
CHECKS: Final[tuple[CheckFunction, ...]] = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.missing_required_header,
    checks.negative_data_rejection,
)
"""Not `ignored_auth`: that a call without a key is refused is tried in `test_reference_is_kept`."""
NO_SCHEMA_SAYS: Final = re.compile(
    "(^|: )({})".format(
        "|".join(
            (
                # what there is, and what was there before
                r"there is no (account|template) ",
                r".* is for \w+, not for \w+",
                r"this (key|id) was used before",
                r".* is a template for \w+; give this one another name",
                r"needed for a new account",
                r"needed again, or null to drop it",
                r"needed again when base_url changes",
                # what the time is
                r"must not be before 2000-01-01",
                r"must not be more than two days ahead",
                r"must be within the last 365 days",
                r"must be in the future",
                r"is in the past",
                r"must be before `?until`?",
                r"at most .* from since to until",
                r"is more than 366 days away",
                r"must be later than send_at",
                # how two fields stand to each other
                r"goes with steps",
                r"goes with `when_exhausted: skip`",
                r"an unknown outcome is resolved, one by one",
                r"missing: sandbox has no address of its own",
                # addresses, by their own rules
                r"not a phone number",
                r"no such phone number",
                r"[Tt]he (email address|part|domain|address)\b",
                r"An email address",
                r"There must be something",
                r".* is no public domain",
                r"an address must ",
                r"is not a URL",
                r"must have a host that the DNS can hold",
                r"must be a URL that begins with",
                r"a subscription needs ",
                # languages of their own: JSON Schema, Jinja, MJML, time zones, providers' credentials
                r"no such time zone",
                r"mjml: ",
                r".*is no MJML",
                r"missing; the template's",
                r"there is no .* here, only ",
                r"a message of the channel \w+ has none",
                r"must be a JSON Schema",
                r"^credentials\.",
                # sizes of what is written out, or decoded
                r"must be plain JSON: ",
                r"not base64",
                r"longer than \d+ characters as JSON",
                r"must be at (most|least) [\d.]+( (second|hour|day)s?)?$",  # of a duration in words
                r"^steps\.\d+: must have at most 128 characters",  # of several in one parameter
                r"^steps: must have at least 2 items",
            )
        )
    )
)


def reference() -> schemathesis.BaseSchema:
    app = create_app(settings_for(f"postgresql://nobody@{LOOPBACK}:1/nothing", f"{LOOPBACK}:1"))
    document = copy.deepcopy(app.openapi())
    for path in document["paths"].values():
        for operation in path.values():
            del operation["responses"]["default"]  # what no call asks for; it would document any status
    schema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(deterministic=True, with_security_parameters=False)
    schema.config.phases.coverage.unexpected_methods = set()
    refused = schema.config.checks.negative_data_rejection
    refused.expected_statuses = [*refused.expected_statuses, "410", "413"]
    return schema


REFERENCE: Final = reference()
OPERATIONS: Final = [one.ok() for one in REFERENCE.get_all_operations() if isinstance(one, Ok)]


@pytest.fixture(scope="module")
async def product(
    postgres: Postgres, migrated_template: str, clickhouse: ClickHouseServer
) -> AsyncIterator[tuple[Hermod, FastAPI]]:
    await postgres.create_database(NAME, template=migrated_template)
    async with opened(Server(clickhouse.url), NAME) as client:
        await schema_of(client).prepare()
    where = settings_for(postgres.url(NAME), f"{LOOPBACK}:{free_port()}", (clickhouse.url, NAME))
    async with await Hermod.connect(settings=where) as hermod:
        yield hermod, create_app(where, hermod=hermod)


@pytest.fixture
async def shop(product: tuple[Hermod, FastAPI]) -> AsyncIterator[Api]:
    async with calling(product[1]) as client:
        yield await new_api(*product, client)


async def records(shop: Api) -> dict[str, dict[str, str]]:
    """One record of each kind: by the beginning of its path, what stands for the places in it."""

    async def made(method: str, path: str, body: object) -> Any:
        response = await shop.client.request(method, path, json=body)
        assert response.is_success, response.text
        return response.json()

    endpoint = await made("POST", "/v1/webhook-endpoints", {"url": "https://shop.example.com/webhooks"})
    event = await made("POST", "/v1/webhook-events", {"type": "order.paid", "payload": {"id": 42}})
    suppression = await made("POST", "/v1/suppressions", {"address": "bob@example.com"})
    device = await made("PUT", "/v1/contacts/ada/devices", {"token": "token"})
    await made("PUT", "/v1/templates/welcome", {"channel": "sms", "body": "Hello {{ name|default('you') }}"})
    await made("PUT", "/v1/forms/signup", {"name": "Sign up", "schema": {"type": "object"}})
    await made("PUT", "/v1/forms/signup/partials/session-12345678", {"revision": 1, "data": {"seat": 7}})
    submission = await made("POST", "/v1/forms/signup/submissions", {"data": {"seat": 7}})
    return {
        "/v1/messages/": {"id": (await made("POST", "/v1/messages", EMAIL))["id"]},
        "/v1/webhook-endpoints/": {"id": endpoint["id"]},
        "/v1/webhook-deliveries/": {"id": event["deliveries"][0]["id"]},
        "/v1/suppressions/": {"id": suppression["id"]},
        "/v1/contacts/": {"id": "ada", "device": device["id"]},
        "/v1/templates/": {"name": "welcome", "version": "1"},
        "/v1/provider-accounts/": {"name": "main-email"},
        "/v1/forms/": {"id": "signup", "session": "session-12345678"},
        "/v1/submissions/": {"id": submission["id"]},
        "/v1/journeys/": {"subject": "session-12345678"},
    }


def made_up(operation: APIOperation) -> Iterator[Case]:
    edges = list(
        REFERENCE.iter_coverage_cases(
            operation, generation_modes=list(GenerationMode), generation_config=REFERENCE.config.generation
        )
    )
    yield from edges[:: -(-len(edges) // MOST_AT_THE_EDGES)]
    yield from at_random(operation, GenerationMode.POSITIVE)
    if operation.body or any(operation.iter_parameters()):
        yield from at_random(operation, GenerationMode.NEGATIVE)


def at_random(operation: APIOperation, mode: GenerationMode) -> list[Case]:
    found: list[Case] = []

    @settings(
        max_examples=MOST_AT_RANDOM,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def gather(case: Case) -> None:
        found.append(case)

    with suppress(Unsatisfiable):  # an operation with one parameter, which may be anything
        gather()
    return found


async def answer(shop: Api, case: Case) -> httpx.Response:
    """The call goes out as `requests` writes it: nothing that was made up is put right on the way."""
    made = requests.Request(**case.as_transport_kwargs(base_url="http://hermod.test")).prepare()
    headers = [*made.headers.items(), ("authorization", shop.client.headers["authorization"])]
    return await shop.client.send(httpx.Request(str(made.method), str(made.url), headers=headers, content=made.body))


def is_right(case: Case) -> bool:
    assert case.meta is not None
    return case.meta.generation.mode.is_positive


def refusals(case: Case, response: httpx.Response) -> list[str]:
    """What was not taken, of the call or of its list, and why."""
    if case.path in ONE_BY_ONE and response.status_code == 202:
        errors = [error for one in response.json()["rejected"] for error in one["errors"]]
    elif response.status_code in (400, 422) and not case.path.startswith(SIGNED):
        problem = response.json()
        errors = problem.get("errors") or [{"field": "body", "message": problem["detail"]}]
    else:
        return []
    return [f"{error['field']}: {error['message']}" for error in errors]


def faults(case: Case, response: httpx.Response) -> Iterator[object]:
    refused = refusals(case, response)
    tried = list(CHECKS)
    if case.path in AWAY:
        tried.remove(not_a_server_error)
    if case.path in ONE_BY_ONE and refused:
        tried.remove(checks.negative_data_rejection)
    if unreasonable := [one for one in refused if is_right(case) and not NO_SCHEMA_SAYS.search(one)]:
        yield unreasonable, str(response.request.url)[:300], response.request.content[:500]
    try:
        case.validate_response(response, tried)
    except FailureGroup as failed:
        yield str(failed)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
async def test_made_up_call_is_answered_as_documented(shop: Api, operation: APIOperation) -> None:
    known = next((places for path, places in (await records(shop)).items() if operation.path.startswith(path)), {})
    wrong: list[object] = []
    for number, case in enumerate(made_up(operation)):
        if is_right(case) and number % 2:
            case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
        wrong += faults(case, await answer(shop, case))
    assert wrong == [], "\n\n".join(map(str, wrong[:5]))


def test_operations_are_tried_all() -> None:
    paths = REFERENCE.raw_schema["paths"]
    assert len(OPERATIONS) == sum(len(operations) for operations in paths.values()) > 60
