"""`hermod analytics` in the running product, and while ClickHouse is away."""

from __future__ import annotations

import pytest

from hermod.contracts.analytics.events import TrackedEvent
from tests.integration.cli.conftest import Cli
from tests.support.analytics.event_rows import arrived
from tests.support.product import ProductFixture


async def test_answers_are_shown_as_pictures_and_as_json(running: tuple[Cli, ProductFixture]) -> None:
    cli, house = running
    told = [("cart.added", "ada", "pro"), ("cart.added", "bob", "free"), ("order.paid", "ada", "pro")]
    for type_, contact, plan in told:
        event = TrackedEvent(type=type_, contact=contact, properties={"plan": plan})
        await house.hermod.track_many([event])
    await arrived(house.hermod, 3)
    shown = (await cli.run("analytics", "timeseries", "--type", "cart.*", "--interval", "minute")).stdout
    assert "2 events from" in shown
    assert "█" in shown
    assert (await cli.json("analytics", "timeseries", "--since", "-2h", "--where", "plan=pro"))["total"] == 2
    assert "no events" in (await cli.run("analytics", "timeseries", "--until", "-1h")).stdout
    lines = (await cli.run("analytics", "top", "--by", "property:plan")).stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines[1:]] == [["pro", "2"], ["free", "1"]]
    steps = ("analytics", "funnel", "--steps", "cart.added,order.paid", "--within", "1d")
    lines = (await cli.run(*steps)).stdout.splitlines()
    assert [line.split("\t")[:3] for line in lines[1:]] == [["cart.added", "2", "100.0%"], ["order.paid", "1", "50.0%"]]
    assert [step["count"] for step in (await cli.json(*steps))["steps"]] == [2, 1]
    assert "nothing was accepted" in (await cli.run("analytics", "funnel", "--campaign", "none")).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["timeseries", "--type", "order paid"], 1, "type: must be"),
        (["timeseries", "--since", "-90d"], 1, "since: at most 1,500 points"),
        (["timeseries", "--since", "yesterday"], 2, "write a time"),
        (["funnel", "--steps", "a"], 1, "steps: must have at least 2"),
        (["funnel", "--within", "soon"], 2, "write a span"),
        (["funnel"], 1, "ClickHouse"),
        (["top", "--by", "mood"], 1, "by: must be type, source"),
    ],
)
async def test_wrong_use_and_an_outage_are_explained(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.setenv("CLICKHOUSE_URL", "http://127.0.0.1:1")
    await cli.ready()
    assert said in (await cli.run("analytics", *arguments, code=code)).stderr
