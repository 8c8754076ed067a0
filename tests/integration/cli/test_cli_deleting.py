"""`hermod accounts delete` and `hermod tenants delete`: what is in use stays, and says why."""

from __future__ import annotations

from tests.integration.cli.conftest import Cli, send


async def test_account_is_deleted_only_when_nothing_waits_for_it(cli: Cli) -> None:
    await cli.ready()
    message = await send(cli)
    assert "1 message of channel email waits" in (await cli.run("accounts", "delete", "main", code=1)).stderr
    await cli.run("cancel", message)
    assert (await cli.run("accounts", "delete", "main")).stdout == "deleted main\n"
    assert "there is no provider account main" in (await cli.run("accounts", "delete", "main", code=1)).stderr
    assert (await cli.json("accounts", "list"))["items"] == []


async def test_tenant_is_deleted_only_when_it_has_nothing_and_somebody_says_yes(cli: Cli) -> None:
    await cli.ready()
    assert "1 provider account" in (await cli.run("tenants", "delete", "shop", "--yes", code=1)).stderr
    await cli.run("accounts", "delete", "main")
    await cli.run("tenants", "delete", "shop", stdin="n\n", code=1)
    assert (await cli.run("tenants", "delete", "shop", "--yes")).stdout.startswith("deleted shop")
    assert (await cli.json("tenants", "list"))["items"] == []
    assert "there is no tenant shop" in (await cli.run("tenants", "delete", "shop", "--yes", code=1)).stderr
