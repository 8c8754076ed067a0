"""`hermod emit`: from an argument, a file and standard input."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.conftest import Cli


async def endpoint(cli: Cli) -> str:
    made = await cli.json("webhooks", "endpoints", "create", "http://127.0.0.1:9/hook")
    return str(made["id"])


async def test_event_is_emitted_from_an_argument_and_from_a_file(cli: Cli, tmp_path: Path) -> None:
    await cli.ready()
    own = await endpoint(cli)
    first = await cli.json("emit", "order.paid", '{"id": 7}', "--event-id", "order-7")
    assert first["event_id"] == "order-7"
    assert [one["endpoint_id"] for one in first["deliveries"]] == [own]
    file = tmp_path / "order.json"
    file.write_text('{"id": 7}')
    assert await cli.json("emit", "order.paid", f"@{file}", "--event-id", "order-7") == first
    printed = (await cli.run("emit", "order.paid", "{}")).stdout
    assert "1 delivery" in printed
    assert own in printed


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["order paid", "{}"], 1, "type"),
        (["order.paid", "[1]"], 1, "payload"),
        (["order.paid", "{"], 2, "JSON"),
        (["order.paid", "@/nowhere.json"], 2, "cannot read"),
        (["order.paid", "{}", "--event-id", "a.b"], 1, "event_id"),
    ],
)
async def test_wrong_use_is_explained(cli: Cli, arguments: list[str], code: int, said: str) -> None:
    await cli.ready()
    assert said in (await cli.run("emit", *arguments, code=code)).stderr
