"""`hermod webhooks endpoints`: the whole life of an endpoint from the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import typer

from hermod.contracts.webhooks.payload_filters import PayloadCondition
from hermod.storage.secrets.vault import Vault
from starter import verify_webhook
from starter.cli.webhooks import payload_filters
from tests.integration.cli.conftest import Cli
from tests.support.hostile import Hostile

URL = "https://shop.example.com/webhooks"
ENDPOINTS = ("webhooks", "endpoints")


@pytest.fixture
async def receiver() -> AsyncIterator[Hostile]:
    async with Hostile() as hostile:
        yield hostile


async def create(cli: Cli, *more: str, url: str = URL) -> dict[str, Any]:
    await cli.ready()
    made: dict[str, Any] = await cli.json(*ENDPOINTS, "create", url, *more)
    return made


async def test_endpoint_is_created_listed_shown_changed_and_deleted(cli: Cli) -> None:
    made = await create(
        cli,
        *("--event-type", "order.*", "--event-type", "refund.created", "--retry", "30,120.5", "--timeout", "20"),
        *("--rate", "5", "--ordering", "by_key", "--when-exhausted", "skip", "--skip-after", "3", "--asymmetric"),
        *("--header", "authorization=Bearer a=b", "--description", "ERP"),
    )
    assert made["secret"].startswith("whsec_")
    view = {name: value for name, value in made.items() if name != "secret"}
    assert await cli.json(*ENDPOINTS, "show", made["id"]) == view
    assert (await cli.json(*ENDPOINTS, "list"))["items"] == [view]
    assert {name: view[name] for name in ("event_types", "retry", "timeout_seconds", "skip_after", "headers")} == {
        "event_types": ["order.*", "refund.created"],
        "retry": [30, 120.5],
        "timeout_seconds": 20,
        "skip_after": 3,
        "headers": ["authorization"],
    }
    changed = await cli.json(
        *(*ENDPOINTS, "update", made["id"], "--rate", "none", "--retry", "webhook-fast", "--timeout", "none"),
        *("--header", "x-new=1", "--remove-header", "Authorization", "--symmetric", "--disable"),
    )
    assert (changed["rate_per_second"], changed["retry"], changed["timeout_seconds"]) == (None, "webhook-fast", 10)
    assert (changed["headers"], changed["public_key"], changed["disabled_reason"]) == (["x-new"], None, "manual")
    assert changed["description"] == "ERP"
    assert (await cli.json(*ENDPOINTS, "enable", made["id"]))["enabled"] is True
    assert made["id"] in (await cli.run(*ENDPOINTS, "list")).stdout
    assert "webhook-fast" in (await cli.run(*ENDPOINTS, "show", made["id"])).stdout
    assert made["id"] in (await cli.run(*ENDPOINTS, "delete", made["id"])).stdout
    await cli.run(*ENDPOINTS, "show", made["id"], code=1)
    assert "no endpoints yet" in (await cli.run(*ENDPOINTS, "list")).stdout


async def test_secret_is_printed_once_and_rotated(cli: Cli) -> None:
    await cli.ready()
    said = (await cli.run(*ENDPOINTS, "create", URL)).stdout
    assert "whsec_" in said
    endpoint = said.split()[1]
    assert "whsec_" not in (await cli.run(*ENDPOINTS, "show", endpoint)).stdout
    rotated = await cli.run(*ENDPOINTS, "rotate", endpoint, "--overlap-hours", "0")
    assert "whsec_" in rotated.stdout
    assert "overlap_hours" in (await cli.run(*ENDPOINTS, "rotate", endpoint, "--overlap-hours", "-1", code=1)).stderr


async def test_headers_are_read_from_a_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "headers.json").write_text('{"authorization": "Bearer hidden"}', encoding="utf-8")
    made = await create(cli, "--headers", str(tmp_path / "headers.json"))
    assert made["headers"] == ["authorization"]
    changed = await cli.json(*ENDPOINTS, "update", made["id"], "--headers", "-", stdin='{"x-a": "b"}')
    assert changed["headers"] == ["authorization", "x-a"]
    assert "hidden" not in (await cli.run(*ENDPOINTS, "show", made["id"])).stdout


async def test_try_out_shows_the_answer_and_fails_where_it_is_no_success(cli: Cli, receiver: Hostile) -> None:
    made = await create(cli, url=receiver.url)
    receiver.behave("ok", "503")
    assert (await cli.json(*ENDPOINTS, "test", made["id"]))["outcome"] == "success"
    verify_webhook(receiver.requests[0].body, receiver.requests[0].headers, made["secret"])
    said = (await cli.run(*ENDPOINTS, "test", made["id"], code=1)).stdout
    assert "503" in said
    assert "127.0.0.1" in said


async def test_rotation_of_the_installations_key_takes_endpoints_along(
    cli: Cli, receiver: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await create(cli, url=receiver.url)
    old, new = cli.hermod.core.settings.secret_key.get_secret_value(), Vault.new_key()
    monkeypatch.setenv("HERMOD_SECRET_KEY", f"{new},{old}")
    assert (await cli.json("secrets", "rotate"))["webhook_endpoints"] == 1
    monkeypatch.setenv("HERMOD_SECRET_KEY", new)
    await cli.run(*ENDPOINTS, "test", made["id"])
    verify_webhook(receiver.requests[0].body, receiver.requests[0].headers, made["secret"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["create"], 2, "Missing argument"),
        (["create", "ftp://example.com"], 1, "url"),
        (["create", "http://user:pass@example.com"], 1, "url"),
        (["create", URL, "--event-type", "a.*.b"], 1, "event_types.0"),
        (["create", URL, "--retry", "sms"], 1, "retry"),
        (["create", URL, "--retry", "1,x"], 1, "retry.1"),
        (["create", URL, "--timeout", "x"], 1, "timeout_seconds"),
        (["create", URL, "--rate", "0"], 1, "rate_per_second"),
        (["create", URL, "--ordering", "by_time"], 2, "by_time"),
        (["create", URL, "--header", "x"], 2, "name=value"),
        (["create", URL, "--header", "host=x"], 1, "headers.host"),
        (["create", URL, "--headers", "missing.json"], 2, "missing.json"),
        (["create", URL, "--skip-after", "3"], 1, "skip_after"),
        (["update", "whe_1"], 2, "what to change"),
        (["update", "whe_1", "--disable"], 1, "whe_1"),
        (["show", "whe_1"], 1, "whe_1"),
        (["delete", "whe_1"], 1, "whe_1"),
        (["rotate", "whe_1"], 1, "whe_1"),
        (["enable", "whe_1"], 1, "whe_1"),
        (["test", "whe_1"], 1, "whe_1"),
    ],
)
async def test_command_is_wrong_says_what(cli: Cli, arguments: list[str], code: int, said: str) -> None:
    await cli.ready()
    assert said in (await cli.run(*ENDPOINTS, *arguments, code=code)).stderr


@pytest.mark.parametrize(
    ("said", "condition"),
    [
        ("data.status=paid", ("data.status", "eq", "paid")),
        ("data.status = paid", ("data.status", "eq", "paid")),
        ("data.status!=paid", ("data.status", "ne", "paid")),
        ("data.total>=50", ("data.total", "gte", 50)),
        ("data.total<0.5", ("data.total", "lt", 0.5)),
        ("data.new=true", ("data.new", "eq", True)),
        ("data.note=null", ("data.note", "eq", None)),
        ('data.number="7"', ("data.number", "eq", "7")),
        ("data.formula=a=b>c", ("data.formula", "eq", "a=b>c")),
        ("data.empty=", ("data.empty", "eq", "")),
        ('data.plan=["pro", "team"]', ("data.plan", "in", ["pro", "team"])),
        ("data.coupon", ("data.coupon", "exists", True)),
        ("!data.coupon", ("data.coupon", "exists", False)),
        ("data.größe=xl", ("data.größe", "eq", "xl")),
    ],
)
def test_filter_is_written_as_a_condition_and_shown_so(said: str, condition: tuple[str, str, Any]) -> None:
    path, op, value = condition
    given = {"path": path, "op": op, "value": value}
    assert payload_filters.condition(said) == given
    shown = payload_filters.shown([PayloadCondition.model_validate(given)])
    assert shown is not None
    assert payload_filters.condition(shown) == given


@pytest.mark.parametrize("said", ["", "=paid", "!", "!data.a!", "<data.a", ">", "!data.a=1"])
def test_filter_is_no_condition_says_how_to_write_one(said: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"data\.status=paid"):
        payload_filters.condition(said)


async def test_filter_is_given_shown_changed_and_taken_away(cli: Cli) -> None:
    made = await create(cli, "--filter", "data.status=paid", "--filter", "data.total>=50")
    assert made["filter"] == [
        {"path": "data.status", "op": "eq", "value": "paid"},
        {"path": "data.total", "op": "gte", "value": 50},
    ]
    assert 'data.status="paid" and data.total>=50' in (await cli.run(*ENDPOINTS, "show", made["id"])).stdout
    changed = await cli.json(*ENDPOINTS, "update", made["id"], "--filter", "data.country=AT")
    assert changed["filter"] == [{"path": "data.country", "op": "eq", "value": "AT"}]
    wrong = await cli.run(*ENDPOINTS, "update", made["id"], "--filter", "data.total>much", code=1)
    assert "filter.0.value: must be a number" in wrong.stderr
    assert (await cli.json(*ENDPOINTS, "update", made["id"], "--filter", "none"))["filter"] == []
