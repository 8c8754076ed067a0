"""Dead letters on the command line: what a discarded one is called, and many of them by what went wrong."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text

from hermod.contracts.notifications.messages import Status
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from tests.integration.cli.conftest import Cli, send
from tests.support.webhooks.rows import WebhookRows

_SUBMISSION = text("""
    INSERT INTO form_submissions (tenant_id, id, form_id, form_revision, definition, status, body_hash, metadata,
                                  workflow_id, error_code, dead_at, finished_at)
    VALUES ('shop', :id, 'order', 1, '{}', 'failed', '\\x00', '{}', 'submission/shop/' || :id, :code, now(), now())
""")


async def failed(cli: Cli, code: str) -> str:
    message = await send(cli)
    await cli.put_into(message, Status.FAILED)
    statement = text("UPDATE messages SET error_code = :code WHERE id = :id")
    await cli.hermod.core.storage.database.execute(statement, {"id": message, "code": code})
    return message


async def test_discarded_message_is_called_discarded(cli: Cli) -> None:
    await cli.ready()
    message = await failed(cli, "a")
    assert (await cli.run("dlq", "discard", message)).stdout == f"{message} discarded\n"
    assert "discarded" in (await cli.run("status", message)).stdout
    assert "discarded already" in (await cli.run("dlq", "discard", message, code=1)).stderr


async def test_list_and_moves_of_all_are_narrowed_by_error_and_time(cli: Cli) -> None:
    await cli.ready()
    first, second, other = await failed(cli, "throttled"), await failed(cli, "throttled"), await failed(cli, "gone")
    listed = (await cli.json("dlq", "list", "--error-code", "throttled", "--since", "-1h"))["items"]
    assert {one["id"] for one in listed} == {first, second}
    counted = await cli.json("dlq", "retry", "--all", "--error-code", "throttled", "--dry-run")
    assert (counted["matching"], counted["moved"]) == (2, 0)
    assert "2 messages" in (await cli.run("dlq", "discard", "--all", "--error-code", "throttled", "--dry-run")).stdout
    assert len((await cli.json("dlq", "list"))["items"]) == 3
    await cli.run("dlq", "retry", "--all", "--error-code", "throttled", "--yes")
    assert [one["id"] for one in (await cli.json("dlq", "list"))["items"]] == [other]
    moved = await cli.json("dlq", "discard", "--all", "--until", "+1m", "--yes")
    assert (moved["ids"], moved["remaining"]) == ([other], 0)


async def test_filter_goes_with_all_and_not_with_ids(cli: Cli) -> None:
    await cli.ready()
    message = await failed(cli, "a")
    for verb in ("retry", "discard"):
        assert "--all" in (await cli.run("dlq", verb, message, "--error-code", "b", code=2)).stderr
        assert "--all" in (await cli.run("dlq", verb, message, "--dry-run", code=2)).stderr
    assert [one["id"] for one in (await cli.json("dlq", "list"))["items"]] == [message]


async def test_discarded_deliveries_are_called_discarded_one_or_all(cli: Cli) -> None:
    await cli.run("tenants", "create", "shop")
    rows = await WebhookRows.make(cli.hermod.core.storage.database, "shop", datetime.now(UTC))
    first, second = await rows.add(DeliveryStatus.FAILED), await rows.add(DeliveryStatus.FAILED)
    command = ("webhooks", "deliveries")
    assert (await cli.run(*command, "discard", first)).stdout == f"{first} discarded\n"
    moved = await cli.json(*command, "discard", "--all", "--endpoint", rows.endpoint, "--yes")
    assert moved["ids"] == [second]
    assert {one["id"] for one in (await cli.json(*command, "list", "--discarded"))["items"]} == {first, second}


async def test_discarded_submissions_are_called_discarded_one_or_all(cli: Cli) -> None:
    await cli.run("tenants", "create", "shop")
    for own, code in (("sub_1", "http_400"), ("sub_2", "http_422"), ("sub_3", "http_422")):
        await cli.hermod.core.storage.database.execute(_SUBMISSION, {"id": own, "code": code})
    assert (await cli.run("submissions", "discard", "sub_1")).stdout == "sub_1 discarded\n"
    assert (await cli.json("submissions", "retry", "--all", "--error-code", "http_422", "--yes"))["ids"] == [
        "sub_2",
        "sub_3",
    ]
    assert [one["id"] for one in (await cli.json("submissions", "list", "--discarded"))["items"]] == ["sub_1"]
