"""`hermod track`: one event, or a file of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from tests.integration.cli.conftest import Cli
from tests.support.analytics.event_rows import arrived
from tests.support.product import ProductFixture


async def test_tracked_events_are_in_clickhouse(running: tuple[Cli, ProductFixture], tmp_path: Path) -> None:
    cli, house = running
    answer = await cli.json(
        "track", "order.paid", '{"total": 49.99}', "--event-id", "order-42", "--contact", "customer-7"
    )
    assert answer == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert "known already" in (await cli.run("track", "order.paid", "--event-id", "order-42")).stdout
    await cli.run("track", "page.viewed", "-", "--occurred-at", datetime.now(UTC).isoformat(), stdin='{"path": "/"}')
    rows = await arrived(house.hermod, 2)
    assert sorted((row["type"], row["properties"]) for row in rows) == [
        ("order.paid", '{"total":49.99}'),
        ("page.viewed", '{"path":"\\/"}'),
    ]


async def test_file_of_events_loses_no_good_line_to_a_bad_one(cli: Cli, tmp_path: Path) -> None:
    await cli.run("tenants", "create", "shop")
    good = [orjson.dumps({"type": "a", "event_id": f"e{number}"}) for number in range(6_000)]
    lines = [b"", *good[:3], b"\xff\xfe", b'{"type":"a","x":NaN}', b'{"type":"no good"}', *good[3:], good[0]]
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(lines))
    answer = await cli.json("track", "--file", str(file), code=1)
    assert (answer["accepted"], answer["duplicates"]) == (6_001, 1)
    assert [one["line"] for one in answer["rejected"]] == [5, 6, 7]
    printed = await cli.run("track", "--file", "-", stdin='{"type":"a"}\n{"type":7}\n', code=1)
    assert "1 accepted, 1 rejected" in printed.stdout
    assert "line 2: type: must be a string" in printed.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "name a TYPE, or a --file"),
        (["a", "--file", "-"], 2, "name a TYPE, or a --file"),
        (["a b"], 1, "type"),
        (["a", "{"], 2, "not JSON"),
        (["a", "[]"], 2, "not a JSON object"),
        (["a", "--occurred-at", "yesterday"], 2, "write a time"),
        (["a", "--occurred-at", "1999-01-01T00:00:00Z"], 1, "occurred_at"),
        (["--file", "/nowhere.jsonl"], 2, "No such file"),
    ],
)
async def test_wrong_use_is_explained(cli: Cli, arguments: list[str], code: int, said: str) -> None:
    await cli.run("tenants", "create", "shop")
    assert said in (await cli.run("track", *arguments, code=code)).stderr
