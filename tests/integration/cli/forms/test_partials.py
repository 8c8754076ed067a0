"""`hermod partials` and `hermod journey`, with a submission that came in the meantime."""

from __future__ import annotations

from tests.integration.cli.conftest import Cli
from tests.support.forms.rows import add_form

SESSION = "3f9a1c07d2e84b65"


async def begun(cli: Cli) -> None:
    await cli.ready()
    await add_form(cli.hermod.core.storage.database, "shop")
    data = {"email": "ada@example.com"}
    await cli.hermod.save_partial("order", SESSION, data, revision=3, contact="customer-42")


async def test_partial_is_shown_with_what_was_entered(cli: Cli) -> None:
    await begun(cli)
    shown = (await cli.run("partials", "show", "order", SESSION)).stdout
    assert "ada@example.com" in shown
    assert "customer-42" in shown
    view = await cli.json("partials", "show", "order", SESSION)
    assert (view["status"], view["revision"], view["data"]) == ("open", 3, {"email": "ada@example.com"})
    assert "there is no partial" in (await cli.run("partials", "show", "order", "nobody-here", code=1)).output
    assert "session:" in (await cli.run("partials", "show", "order", "short", code=1)).output


async def test_journey_is_told_line_by_line_without_what_was_entered(cli: Cli) -> None:
    await begun(cli)
    receipt = await cli.hermod.submit("order", {"email": "ada@example.com"}, session=SESSION)
    told = (await cli.run("journey", "customer-42")).stdout
    lines = [line.split("\t") for line in told.splitlines()]
    assert lines[0] == ["at", "after", "step", "form", "reference", "detail"]
    assert [(line[2], line[4]) for line in lines[1:]] == [
        ("form.partial", SESSION),
        ("submission.received", receipt.id),
    ]
    assert "ada@example.com" not in told
    view = await cli.json("journey", SESSION)
    assert (view["contacts"], view["sessions"]) == (["customer-42"], [SESSION])
    assert "there is no contact or session" in (await cli.run("journey", "nobody", code=1)).output
