"""`hermod accounts delete`, `tenants delete` and `tenants retention`: what goes, and what stays and why."""

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


async def test_retention_of_a_tenant_is_changed_by_what_is_named_and_shown(cli: Cli) -> None:
    await cli.run("tenants", "create", "shop")
    await cli.run("tenants", "retention", "shop", "--completed", "24h", "--failed-count", "50")
    kept = await cli.json("tenants", "retention", "shop", "--completed-count", "100", "--failed", "7d")
    assert kept["messages"] == {"completed": {"age": "P1D", "count": 100}, "failed": {"age": "P7D", "count": 50}}
    await cli.run("tenants", "retention", "shop", "--of", "webhook_deliveries", "--completed", "30m", code=1)
    shown = await cli.json("tenants", "retention", "shop", "--of", "webhook_deliveries", "--completed", "7d")
    assert (shown["messages"], shown["webhook_deliveries"]["completed"]["age"]) == (kept["messages"], "P7D")
    assert (await cli.json("tenants", "retention", "shop", "--default"))["messages"]["completed"]["count"] is None
    assert "webhook_deliveries" in (await cli.run("tenants", "retention", "shop")).stdout
    await cli.run("tenants", "retention", "nobody", code=1)
