"""Forms and submissions over the API; Temporal is away, so that what is stored can be looked at."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.integration.api.conftest import Api, assert_problem
from web.ingress.forms.forms import _BODY as FORM_BODY

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["email"],
    "additionalProperties": False,
    "properties": {"email": {"type": "string", "format": "email"}},
}
DATA = {"email": "ada@example.com"}


async def put(api: Api, form: str = "signup", **settings: Any) -> httpx.Response:
    return await api.client.put(f"/v1/forms/{form}", json={"name": "Sign up", "schema": SCHEMA, **settings})


async def submit(api: Api, form: str = "signup", *, key: str | None = None, **body: Any) -> httpx.Response:
    headers = {} if key is None else {"idempotency-key": key}
    return await api.client.post(f"/v1/forms/{form}/submissions", json={"data": DATA, **body}, headers=headers)


@pytest.mark.parametrize("example", list(FORM_BODY["content"]["application/json"]["examples"].values()))
async def test_examples_are_taken_shown_and_listed(api: Api, example: dict[str, Any]) -> None:
    response = await api.client.put("/v1/forms/example", json=example["value"])
    assert response.status_code == 201, response.text
    shown = (await api.client.get("/v1/forms/example")).json()
    assert shown == response.json()
    assert (shown["id"], shown["revision"], shown["schema"]) == ("example", 1, example["value"]["schema"])
    listed = (await api.client.get("/v1/forms")).json()
    assert [(one["id"], one["asks_for_payment"]) for one in listed["items"]] == [
        ("example", "payment" in example["value"])
    ]


async def test_put_counts_revisions_and_the_same_again_changes_nothing(api: Api) -> None:
    assert (await put(api)).json()["revision"] == 1
    same = await put(api)
    assert (same.status_code, same.json()["revision"]) == (200, 1)
    changed = await put(api, name="Join")
    assert (changed.status_code, changed.json()["revision"]) == (201, 2)
    own = (await submit(api)).json()["id"]
    assert (await api.client.get(f"/v1/submissions/{own}")).json()["form_revision"] == 2


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"schema": {"properties": {"a": {"type": "strin"}}}}, "schema.properties.a.type"),
        ({"schema": {"$ref": "https://example.com/schema.json"}}, "schema.$ref"),
        ({"schema": {"description": "x" * 300_000}}, "schema"),
        ({"schema": []}, "schema"),
        ({"schema": {"const": "\0"}}, "schema"),
        ({"name": "a\0b"}, "name"),
        *(
            ({"schema": {"required": wrong}, "spam": {"honeypot": "website"}}, "schema.required")
            for wrong in (5, None, True)
        ),
        ({"payment": {"expires_in": 0}}, "payment.expires_in"),
        ({"payment": {"expires_in": True}}, "payment.expires_in"),
        ({"payment": {"provider": "paypal"}}, "payment.provider"),
        ({"on_submit": {"notifications": [{"channel": "email", "to": "{{"}]}}, "on_submit.notifications.0.to"),
        ({"on_submit": {"notifications": [{"channel": "fax", "to": "x"}]}}, "on_submit.notifications.0.channel"),
        ({"partials": {"resume_url": "https://example.com/"}}, "partials.resume_url"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_wrong_definition_is_refused_with_the_path(api: Api, settings: dict[str, Any], field: str) -> None:
    assert_problem(await put(api, **settings), 422, "invalid-input", field)
    assert_problem(await api.client.get("/v1/forms/signup"), 404, "not-found")


async def test_deleted_form_takes_nothing_and_comes_back_by_put(api: Api) -> None:
    await put(api)
    own = (await submit(api)).json()["id"]
    assert (await api.client.delete("/v1/forms/signup")).status_code == 204
    assert_problem(await api.client.delete("/v1/forms/signup"), 404, "not-found")
    assert_problem(await submit(api), 404, "not-found")
    assert (await api.client.get("/v1/forms")).json()["items"] == []
    assert (await api.client.get(f"/v1/submissions/{own}")).status_code == 200
    assert (await put(api)).json()["revision"] == 2
    assert (await submit(api)).status_code == 202


async def test_submission_is_stored_and_shown(api: Api) -> None:
    await put(api, payment={"required": True, "expires_in": "PT1H"})
    response = await submit(api, session="session-12345678", contact="c-7", metadata={"page": "/"})
    assert (response.status_code, response.json()["status"]) == (202, "pending")
    shown = (await api.client.get(f"/v1/submissions/{response.json()['id']}")).json()
    assert (shown["data"], shown["session"], shown["contact"]) == (DATA, "session-12345678", "c-7")
    assert (shown["metadata"], shown["payment"]["status"]) == ({"page": "/"}, "awaited")
    assert shown["workflow_id"] == f"submission/{api.tenant}/{shown['id']}"
    assert shown["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"data": {}}, "data.email"),
        ({"data": {"email": "nobody"}}, "data.email"),
        ({"data": {"email": "a@example.com", "x": 1}}, "data.x"),
        ({"data": [1]}, "data"),
        ({"session": "short"}, "session"),
        ({"contact": "ada@example.com"}, "contact"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_wrong_submission_names_the_field_and_stores_nothing(api: Api, body: dict[str, Any], field: str) -> None:
    await put(api)
    assert_problem(await submit(api, **body), 422, "invalid-input", field)
    assert (await api.client.get("/v1/submissions")).json()["items"] == []


async def test_submission_beyond_the_forms_size_is_refused(api: Api) -> None:
    await put(api, schema={}, spam={"max_bytes": 200})
    assert_problem(await submit(api, data={"text": "x" * 200}), 422, "invalid-input", "data")
    huge = await submit(api, data={"text": "x" * 2_200_000})
    assert_problem(huge, 413, "body-too-large")


async def test_key_again_gives_the_same_answer_and_another_body_is_refused(api: Api) -> None:
    await put(api)
    first = await submit(api, key="k-1")
    assert (await submit(api, key="k-1")).json() == first.json()
    # Neither another address nor what the form has become since makes it another submission.
    await put(api, schema={"required": ["phone"]})
    assert (await submit(api, key="k-1", remote_address="203.0.113.9")).json() == first.json()
    assert_problem(await submit(api, key="k-1", data={"email": "eve@example.com"}), 422, "idempotency-mismatch")
    assert_problem(await submit(api, key="k" * 256), 422, "invalid-input", "Idempotency-Key")
    assert len((await api.client.get("/v1/submissions")).json()["items"]) == 1


async def test_key_used_at_the_same_moment_stores_one(api: Api) -> None:
    await put(api)
    answers = await asyncio.gather(*(submit(api, key="k-1") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_wrong_entry_deep_in_a_recursive_form_is_named_where_it_is(api: Api) -> None:
    node = {"oneOf": [{"$ref": "#/$defs/section"}, {"$ref": "#/$defs/question"}]}
    parts = {
        name: {
            "type": "object",
            "required": [name],
            "properties": {name: {"type": "string"}, "items": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
        }
        for name in ("section", "question")
    }
    await put(api, schema={"$ref": "#/$defs/node", "$defs": {"node": node, **parts}})
    data: dict[str, Any] = {"question": 5}
    for _ in range(20):
        data = {"section": "a", "items": [data]}
    field = "data" + ".items.0" * 20 + ".question"
    assert_problem(await submit(api, data=data), 422, "invalid-input", field)


async def test_filled_honeypot_is_kept_as_spam_and_an_empty_one_is_left_out(api: Api) -> None:
    await put(api, spam={"honeypot": "website"})
    spam = await submit(api, data={"website": "https://spam.example", "whatever": 1}, session="session-87654321")
    assert (spam.status_code, spam.json()["status"]) == (202, "spam")
    good = await submit(api, data={**DATA, "website": ""})
    assert good.json()["status"] == "pending"
    assert (await api.client.get(f"/v1/submissions/{good.json()['id']}")).json()["data"] == DATA
    listed = (await api.client.get("/v1/submissions", params={"status": "spam"})).json()["items"]
    assert [one["id"] for one in listed] == [spam.json()["id"]]
    left = await api.rows("SELECT status, waits_since, due_at FROM form_partials WHERE tenant_id = :tenant")
    assert [tuple(row) for row in left] == [("spam", None, None)], "it keeps late revisions from beginning a form anew"


async def test_address_that_submits_too_often_is_told_when_to_come_back(api: Api) -> None:
    await put(api, spam={"per_address_per_hour": 4})
    for number in range(2):
        assert (await submit(api, remote_address="203.0.113.7", key=f"k-{number}")).status_code == 202
    refused = await submit(api, remote_address="203.0.113.7")
    assert_problem(refused, 429, "too-many")
    assert 1700 < int(refused.headers["retry-after"]) <= 1800
    # A repeat, another address and a form of its own are not held up by it.
    assert (await submit(api, remote_address="203.0.113.7", key="k-0")).status_code == 202
    assert (await submit(api, remote_address="203.0.113.8")).status_code == 202
    buckets = await api.rows("SELECT bucket FROM rates WHERE bucket LIKE 'visitor/' || :tenant || '/%'")
    assert len(buckets) == 2
    assert not [row for row in buckets if "203.0.113" in row.bucket]


async def test_list_is_narrowed_and_paged(api: Api) -> None:
    await put(api)
    await put(api, "other")
    for form in ("signup", "other", "signup", "signup"):
        await submit(api, form)

    async def listed(**query: str | int) -> list[dict[str, Any]]:
        return list((await api.client.get("/v1/submissions", params=query)).json()["items"])

    assert len(await listed()) == 4
    assert {one["form"] for one in await listed(form="other")} == {"other"}
    assert len(await listed(status="pending", form="signup")) == 3
    page = (await api.client.get("/v1/submissions", params={"limit": 3})).json()
    assert len(await listed(cursor=page["next_cursor"])) == 1
    assert_problem(await api.client.get("/v1/submissions", params={"status": "lost"}), 422, "invalid-input")
    assert_problem(await api.client.get("/v1/submissions", params={"cursor": "x"}), 422, "invalid-input", "cursor")


async def test_moves_follow_the_state(api: Api) -> None:
    await put(api)
    own = (await submit(api)).json()["id"]
    place = f"/v1/submissions/{own}"
    assert_problem(await api.client.post(f"{place}/retry"), 409, "conflict")
    statement = text(
        "UPDATE form_submissions SET status = 'failed', dead_at = now(), finished_at = now() WHERE id = :id"
    )
    await api.hermod.core.storage.database.execute(statement, {"id": own})
    discarded = await api.client.post(f"{place}/discard")
    assert (discarded.status_code, discarded.json()["status"]) == (202, "failed")
    assert_problem(await api.client.post(f"{place}/discard"), 409, "conflict")
    assert (await api.client.get("/v1/submissions", params={"status": "failed"})).json()["items"] == []
    again = await api.client.post(f"{place}/retry")
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    for unknown in ("sub_nothing", "x" * 100):
        assert_problem(await api.client.get(f"/v1/submissions/{unknown}"), 404, "not-found")
        assert_problem(await api.client.post(f"/v1/submissions/{unknown}/retry"), 404, "not-found")


async def test_submission_of_another_tenant_is_not_found(api: Api) -> None:
    await put(api)
    own = (await submit(api)).json()["id"]
    rows = await api.hermod.core.storage.database.rows(
        text("SELECT tenant_id FROM form_submissions WHERE id = :id"), {"id": own}
    )
    assert [row.tenant_id for row in rows] == [api.tenant]
    tenants, now = api.hermod.core.storage.tenants, api.hermod.core.clock.now()
    await tenants.create(f"{api.tenant}-2", "other", now)
    key = (await tenants.create_key(f"{api.tenant}-2", "test", now)).key
    headers = {"authorization": f"Bearer {key}"}
    assert_problem(await api.client.get(f"/v1/submissions/{own}", headers=headers), 404, "not-found")
    assert_problem(await api.client.get("/v1/forms/signup", headers=headers), 404, "not-found")


async def test_encrypting_tenant_has_nothing_of_it_in_the_clear(api: Api) -> None:
    core = api.hermod.core
    await core.storage.contents.set_policy(api.tenant, encrypts=True, days=None, actor="test", now=core.clock.now())
    await put(api)
    own = (await submit(api)).json()["id"]
    (row,) = await api.rows("SELECT data FROM form_submissions WHERE tenant_id = :tenant")
    assert b"ada" not in row.data
    assert (await api.client.get(f"/v1/submissions/{own}")).json()["data"] == DATA


async def test_example_of_the_docs_is_taken(api: Api) -> None:
    page = (Path(__file__).parents[4] / "docs" / "forms.md").read_text(encoding="utf-8")
    form = page.partition("<<'JSON'\n")[2].partition("\nJSON\n")[0]
    submission = page.partition("  -d '")[2].partition("'")[0]
    assert (await api.client.put("/v1/forms/signup", content=form)).status_code == 201
    assert (await api.client.post("/v1/forms/signup/submissions", content=submission)).status_code == 202
    wrong = await submit(api, data={"email": "nobody"})
    assert wrong.json()["errors"] == json.loads(page.partition("```json\n")[2].partition("\n```")[0])["errors"]


async def test_data_within_the_size_are_taken_however_they_are_written(api: Api) -> None:
    await put(api, schema={}, spam={"max_bytes": 256 * 1024})
    data = {"text": "a" * (250 * 1024)}
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in data["text"])
    headers = {"content-type": "application/json"}
    body = f'{{"data": {{"text": "{escaped}"}}}}'
    taken = await api.client.post("/v1/forms/signup/submissions", content=body, headers=headers)
    assert taken.status_code == 202, taken.text
    shown = await api.client.get(f"/v1/submissions/{taken.json()['id']}")
    assert shown.json()["data"] == data
    body = f'{{"revision": 1, "data": {{"text": "{escaped}"}}}}'
    kept = await api.client.put("/v1/forms/signup/partials/session-12345678", content=body, headers=headers)
    assert kept.status_code == 202, kept.text
