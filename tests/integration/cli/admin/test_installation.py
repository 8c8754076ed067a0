"""Everything around messages: tenants, keys, accounts, secrets, schedules, and what the doctor finds."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from devstack.servers.ports import LOOPBACK, free_port
from hermod.contracts.notifications.messages import Status
from hermod.contracts.queues import Lane
from hermod.storage.secrets.vault import Vault
from starter.temporal import schedules
from starter.temporal.search_attributes import register
from starter.tenants.tokens import verify
from tests.integration.cli.conftest import SECRET, Cli, send
from tests.support.polling import eventually
from tests.support.product import ProductFixture, working_on

ROOT = Path(__file__).parents[4]


async def test_tenant_and_key_are_made_the_key_works_until_it_is_revoked(cli: Cli) -> None:
    await cli.run("tenants", "create", "shop", "--name", "The Shop")
    assert [one["name"] for one in (await cli.json("tenants", "list"))["items"]] == ["The Shop"]
    made = await cli.json("keys", "create", "--name", "checkout")
    tenants = cli.hermod.core.storage.tenants
    assert await tenants.authenticate(made["key"]) == ("shop", made["id"])
    assert made["key"] not in (await cli.run("keys", "list")).stdout
    assert (await cli.run("keys", "revoke", made["id"])).stdout == f"revoked {made['id']}\n"
    assert (await cli.json("keys", "list"))["items"][0]["revoked_at"] is not None


@pytest.mark.parametrize("tenant", ["Shop", "", "a b", "shop\n", "x" * 64])
async def test_tenant_has_a_bad_id_is_refused(cli: Cli, tenant: str) -> None:
    assert "id:" in (await cli.run("tenants", "create", tenant, code=1)).stderr
    assert (await cli.json("tenants", "list"))["items"] == []


async def test_tenant_is_taken_or_missing_says_so(cli: Cli) -> None:
    missing = await cli.run("send", "--to", "ada@example.com", "--subject", "a", "--text", "b", code=1)
    assert missing.stderr == "there is no tenant shop; create it with `hermod tenants create shop`\n"
    await cli.run("tenants", "create", "shop")
    assert "already" in (await cli.run("tenants", "create", "shop", code=1)).stderr


async def test_tenant_gets_an_owner_shows_it_until_it_is_removed(cli: Cli) -> None:
    await cli.run("tenants", "create", "shop")
    assert "nobody" in (await cli.run("tenants", "owner", "shop")).stdout
    named = await cli.json("tenants", "owner", "shop", "Ops <ops@EXAMPLE.com>")
    assert named == {"tenant": "shop", "owner_email": "Ops <ops@example.com>"}
    assert (await cli.json("tenants", "list"))["items"][0]["owner_email"] == "Ops <ops@example.com>"
    assert "email:" in (await cli.run("tenants", "owner", "shop", "nobody at all", code=1)).stderr
    await cli.run("tenants", "owner", "shop", "a@b.org", "--remove", code=2)
    await cli.run("tenants", "owner", "shop", "--remove")
    assert (await cli.json("tenants", "owner", "shop"))["owner_email"] is None
    assert "no tenant other" in (await cli.run("tenants", "owner", "other", "a@b.org", code=1)).stderr


async def test_tenant_is_limited_and_weighed_shows_what_applies(cli: Cli) -> None:
    await cli.run("tenants", "create", "shop")
    assert (await cli.json("tenants", "limit", "shop"))["rate_per_second"] is None
    await cli.run("tenants", "limit", "shop", "--rate", "100", "--domain", "Gmail.com=20", "--domain", "b.org=1")
    changed = await cli.json("tenants", "limit", "shop", "--remove", "b.org", "--remove", "rate")
    assert changed == {"rate_per_second": None, "domains": {"gmail.com": 20}}
    await cli.run("tenants", "limit", "shop", "--domain", "gmail.com", code=2)
    assert "rate_per_second" in (await cli.run("tenants", "limit", "shop", "--rate", "0", code=1)).stderr
    await cli.run("tenants", "weight", "shop", "3")
    assert (await cli.json("tenants", "list"))["items"][0]["weight"] == 3
    await cli.run("tenants", "weight", "shop", "0", code=2)
    await cli.run("tenants", "weight", "nobody", "3", code=1)


async def test_account_is_put_is_listed_without_credentials(cli: Cli, tmp_path: Path) -> None:
    await cli.run("tenants", "create", "shop")
    (tmp_path / "key.json").write_text('{"api_key": "a-secret"}')
    arguments = ("accounts", "put", "grid", "--channel", "email", "--provider", "sendgrid")
    assert "credentials.api_key: missing" in (await cli.run(*arguments, code=1)).stderr
    assert "name: must consist of" in (await cli.run("accounts", "put", "A B", *arguments[3:], code=1)).stderr
    await cli.run(*arguments, "--credentials", "nothing.json", code=2)
    assert (await cli.run(*arguments, "--credentials", "key.json")).stdout == "created grid\n"
    assert (await cli.run(*arguments, "--order", "3")).stdout == "replaced grid\n"
    listed = await cli.run("accounts", "list", "--json")
    assert orjson.loads(listed.stdout)["items"][0]["order"] == 3
    assert "a-secret" not in listed.stdout + (await cli.run("accounts", "list")).stdout


async def test_secret_key_is_rotated_accounts_open_with_the_new_one_alone(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cli.ready()
    new = (await cli.run("secrets", "new-key")).stdout.strip()
    old = cli.hermod.core.settings.secret_key.get_secret_value()
    monkeypatch.setenv("HERMOD_SECRET_KEY", f"{new},{old}")
    assert await cli.json("secrets", "rotate") == {
        "resealed": 1,
        "tenant_keys": 0,
        "webhook_endpoints": 0,
        "stripe_accounts": 0,
        "unreadable": {},
    }
    monkeypatch.setenv("HERMOD_SECRET_KEY", new)
    await send(cli)
    monkeypatch.setenv("HERMOD_SECRET_KEY", Vault.new_key())
    told = (await cli.run("secrets", "rotate", code=1)).stdout
    assert "not opened by any key of HERMOD_SECRET_KEY (accounts): " in told
    assert "WRONG secret key" in (await cli.run("doctor", code=1)).stdout


async def test_doctor_looks_deep_finds_the_record_that_breaks_a_promise(cli: Cli) -> None:
    await cli.ready()
    message = await send(cli)
    checks = {check["name"]: check for check in (await cli.json("doctor", "--deep", code=1))["checks"]}
    assert checks["promises"]["ok"]
    assert "kept over 7 days" in checks["promises"]["detail"]
    await cli.put_into(message, Status.SENT)
    checks = {check["name"]: check for check in (await cli.json("doctor", "--deep", code=1))["checks"]}
    broken = checks["promise sent_unproven of messages"]
    assert not broken["ok"]
    assert message in broken["detail"]
    assert "promises" not in checks


async def test_token_is_made_is_an_admins(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await cli.run("token", "--subject", "ada")).stdout.strip()
    assert verify(SECRET, token).subject == "ada"
    monkeypatch.setenv("HERMOD_JWT_SECRET", "short")
    assert "HERMOD_JWT_SECRET is too short" in (await cli.run("token", code=1)).stderr


async def test_settings_are_missing_are_named_with_exit_code_two(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    for arguments in (["status", "msg_1"], ["tenants", "list"], ["schedules", "list"]):
        assert "DATABASE_URL is not set" in (await cli.run(*arguments, code=2)).stderr
    checks = (await cli.json("doctor", code=1))["checks"]
    assert [(check["name"], check["ok"]) for check in checks] == [("settings", False)]


async def test_database_is_away_says_so_in_a_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    await cli.ready()
    monkeypatch.setenv("DATABASE_URL", f"postgresql://nobody:secret@{LOOPBACK}:{free_port()}/nowhere")
    for arguments in (["tenants", "list"], ["status", "msg_1"]):
        assert (await cli.run(*arguments, code=1)).stderr == "the database does not answer; nothing was stored\n"
    checks = {check["name"]: check for check in (await cli.json("doctor", code=1))["checks"]}
    assert not checks["database"]["ok"]
    assert "DATABASE_URL" in checks["database"]["advice"]
    assert "secret" not in str(checks)


async def test_temporal_is_away_schedules_and_doctor_say_so(cli: Cli) -> None:
    await cli.ready()
    assert "Temporal does not answer" in (await cli.run("schedules", "list", code=1)).stderr
    checks = {check["name"]: check for check in (await cli.json("doctor", code=1))["checks"]}
    assert {name for name, check in checks.items() if not check["ok"]} == {"Temporal"}
    assert "TEMPORAL_ADDRESS" in checks["Temporal"]["advice"]


async def test_clickhouse_is_away_doctor_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    await cli.ready()
    url = f"http://{LOOPBACK}:{free_port()}"
    monkeypatch.setenv("CLICKHOUSE_URL", url)
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "secret")
    checks = {check["name"]: check for check in (await cli.json("doctor", code=1))["checks"]}
    assert not checks["ClickHouse"]["ok"]
    assert url in checks["ClickHouse"]["detail"]
    assert "CLICKHOUSE_URL" in checks["ClickHouse"]["advice"]
    assert "secret" not in str(checks["ClickHouse"])


async def test_doctor_finds_an_empty_database_and_a_lost_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    await cli.ready()
    monkeypatch.setenv("HERMOD_SECRET_KEY", Vault.new_key())
    assert "WRONG secret key" in (await cli.run("doctor", code=1)).stdout
    monkeypatch.setenv("HERMOD_SECRET_KEY", "no key")
    assert "new-key" in (await cli.run("doctor", code=1)).stdout
    await cli.hermod.core.storage.database.execute(text("DROP TABLE alembic_version"), {})
    monkeypatch.setenv("HERMOD_SECRET_KEY", cli.hermod.core.settings.secret_key.get_secret_value())
    assert "alembic upgrade head" in (await cli.run("doctor", code=1)).stdout


async def test_doctor_looks_at_a_running_product_finds_nothing(running: tuple[Cli, ProductFixture]) -> None:
    cli, house = running
    await register(house.client)
    await cli.run("schedules", "apply")
    report = await cli.json("doctor")
    assert report["ok"]
    assert [check["name"] for check in report["checks"]] == [
        *("settings", "database", "schema", "secret key", "backlog", "activities", "ClickHouse"),
        *("Temporal", "namespace", "search attributes", "schedules", "workers"),
    ]


async def test_doctor_names_an_activity_that_fails_again_and_again(cli: Cli) -> None:
    core = cli.hermod.core
    await core.storage.failing.note("message/shop/msg_1", "deliver", "TypeError", 7, core.clock.now())
    checks = {check["name"]: check for check in (await cli.json("doctor", code=1))["checks"]}
    assert not checks["activities"]["ok"]
    assert "deliver (TypeError) in 1 workflows, such as message/shop/msg_1" in checks["activities"]["detail"]
    assert "activity_keeps_failing" in checks["activities"]["advice"]


async def test_doctor_finds_lanes_without_a_worker_and_what_waits_there(
    cli: Cli, idle_temporal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cli.ready()
    monkeypatch.setenv("TEMPORAL_ADDRESS", idle_temporal)
    monkeypatch.setenv("HERMOD_BACKLOG_SECONDS", "1")
    await send(cli)
    database = cli.hermod.core.storage.database
    await database.execute(text("UPDATE messages SET created_at = now() - interval '1 hour', status = 'queued'"), {})
    checks = {check["name"]: check for check in (await cli.json("doctor", code=1))["checks"]}
    assert checks["workers"]["advice"] == "start one: `python worker.py`, or `make run` for everything"
    assert "1 of email, the oldest for 36" in checks["backlog"]["detail"]
    assert "python worker.py --lanes email" in checks["backlog"]["advice"]
    lanes = [lane for lane in Lane if lane not in (Lane.PUSH, Lane.EVENTS)]
    async with working_on(cli.hermod, idle_temporal, lanes):

        async def told() -> dict[str, Any]:
            found = {check["name"]: check for check in (await cli.json("doctor", code=1))["checks"]}["workers"]
            assert found["detail"] == "nobody works on push, events"
            return found

        found = await eventually(told)
    assert found["advice"] == "start one: `python worker.py --lanes push,events`"


async def test_schedule_is_paused_resumed_and_run(running: tuple[Cli, ProductFixture]) -> None:
    cli, _ = running
    name = schedules.SCHEDULES[0].name
    await cli.run("schedules", "apply")
    paused = await cli.run("schedules", "pause", name, "--note", "database move")
    assert paused.stdout == f"{name} is paused\n"
    listed = {one["name"]: one for one in (await cli.json("schedules", "list"))["items"]}
    assert (listed[name]["paused"], listed[name]["note"]) == (True, "database move")
    assert "is paused" in (await cli.run("doctor", code=1)).stdout
    await cli.run("schedules", "apply")
    assert (await cli.json("schedules", "list"))["items"][0]["paused"]
    assert (await cli.run("schedules", "resume", name)).stdout == f"{name} runs at its usual times again\n"
    assert (await cli.run("schedules", "run", name)).stdout == f"{name} was started\n"
    assert "no schedule nothing" in (await cli.run("schedules", "run", "nothing", code=1)).stderr


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["tenants", "list"], 2), (["sned"], 2)])
async def test_program_ends_its_exit_code_is_the_commands(tmp_path: Path, arguments: list[str], code: int) -> None:
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "starter", *arguments, cwd=tmp_path, env=variables, stdout=PIPE, stderr=PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in said
