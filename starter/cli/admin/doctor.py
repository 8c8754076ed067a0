"""`hermod doctor`: looks at everything that messages need on their way, and says what to do where it is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer
from rich.text import Text
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

from hermod.bootstrap import Analytics, Storage, open_analytics, open_storage
from hermod.clock import SystemClock
from hermod.contracts.errors import Unavailable
from hermod.settings import Settings, SettingsError
from hermod.storage.database.migrate import SchemaOutdated, check_schema
from starter.cli.admin.deep_checks import audit, missing_records
from starter.cli.admin.findings import Finding, Trouble
from starter.cli.output import OUT, Json, print_json
from starter.cli.session import FAILED, PATIENCE, brief, command, settings, temporal
from starter.process.backlog import view
from starter.temporal import schedules
from starter.temporal.calls import TEMPORAL_ERRORS, answered_within
from starter.temporal.lanes import START_A_WORKER, look_at_workers, worker_for
from starter.temporal.search_attributes import SEARCH_ATTRIBUTES


def add_to(root: typer.Typer) -> None:
    root.command("doctor")(doctor)


Deep = Annotated[bool, typer.Option("--deep", help="Also look for records that break a promise.")]
Days = Annotated[int, typer.Option(min=1, help="With --deep: records accepted in so many days.")]


@command
async def doctor(deep: Deep = False, days: Days = 7, as_json: Json = False) -> None:
    """Check the installation: settings, database, keys, Temporal, schedules, workers. Exit code 1 if any is wrong.

    With `--deep` also the audit of promises: that no record is without an owner, that each request is on record, that
    nothing was repeated in silence. It reads the records of the last days, and may take a minute.
    """
    findings = await examine(timedelta(days=days) if deep else None)
    healthy = all(finding.ok for finding in findings)
    if as_json:
        print_json({"ok": healthy, "checks": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            _print(finding)
    if not healthy:
        raise typer.Exit(FAILED)


async def examine(deep: timedelta | None = None) -> list[Finding]:
    """All checks, in the order in which one needs the other; where one fails, those that need it are left out.

    `deep`: how far back the audit of promises looks, None for none.
    """
    try:
        found = settings()
    except SettingsError as error:
        advice = "set it in the environment or in .env, or run this where `make run` runs"
        return [Finding("settings", False, line, advice) for line in str(error).splitlines()]
    findings = [Finding("settings", True, f"tenant {found.tenant or 'not set'}, Temporal at {found.temporal_address}")]
    try:
        async with open_storage(found) as storage, open_analytics(found, storage.database, embedded=True) as analytics:
            findings += await _examine_database(storage, found)
            if deep is not None and all(finding.ok for finding in findings):
                findings += await audit(storage.promises, deep)
            findings.append(await _look("ClickHouse", lambda: _clickhouse(analytics)))
    except ValueError:
        advice = "make one with `hermod secrets new-key`; if accounts are stored, find the key that encrypted them"
        findings.append(Finding("secret key", False, "HERMOD_SECRET_KEY is not a list of keys", advice))
    return findings + await _examine_temporal(found, missing=deep is not None)


async def _examine_database(storage: Storage, found: Settings) -> list[Finding]:
    reachable = await _look("database", lambda: _database(storage))
    if not reachable.ok:
        return [reachable]
    schema = await _look("schema", lambda: _schema(storage))
    if not schema.ok:
        return [reachable, schema]
    return [
        reachable,
        schema,
        await _look("secret key", lambda: _credentials(storage)),
        await _look("backlog", lambda: _backlog(storage, found.backlog_seconds)),
        await _look("activities", lambda: _activities(storage)),
    ]


async def _examine_temporal(found: Settings, *, missing: bool) -> list[Finding]:
    try:
        client = await temporal(found)
    except TEMPORAL_ERRORS as error:
        advice = (
            "is TEMPORAL_ADDRESS right, and the server running? What was accepted waits and is sent when it is back"
        )
        return [Finding("Temporal", False, f"{found.temporal_address} does not answer: {brief(error)}", advice)]
    findings = [
        await _look("Temporal", lambda: _temporal(client)),
        await _look("namespace", lambda: _namespace(client)),
    ]
    if not findings[-1].ok:
        return findings
    return [
        *findings,
        await _look("search attributes", lambda: _search_attributes(client)),
        await _look("schedules", lambda: _schedules(client)),
        await _look("workers", lambda: _workers(client)),
        *([await _look("records", lambda: missing_records(client))] if missing else []),
    ]


async def _look(name: str, check: Callable[[], Awaitable[str]]) -> Finding:
    try:
        async with answered_within(timedelta(seconds=PATIENCE)):
            return Finding(name, True, await check())
    except Trouble as trouble:
        return Finding(name, False, str(trouble), trouble.advice)
    except (*TEMPORAL_ERRORS, Unavailable, SQLAlchemyError) as error:
        return Finding(name, False, brief(error) or "no answer in time", "look into the server's own log")


async def _database(storage: Storage) -> str:
    try:
        rows = await storage.database.rows(
            text("SELECT current_database() AS name, current_setting('server_version') AS v"), {}
        )
    except (Unavailable, SQLAlchemyError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        advice = "is DATABASE_URL right, and the server running? Nothing is accepted without it"
        raise Trouble(f"it does not answer: {brief(cause)}", advice) from None
    return f"{rows[0].name} on PostgreSQL {rows[0].v}"


async def _schema(storage: Storage) -> str:
    try:
        await check_schema(storage.database)
    except SchemaOutdated as error:
        raise Trouble(str(error), "then start the web and the workers again") from None
    return "at the newest migration"


async def _credentials(storage: Storage) -> str:
    tenants = await storage.tenants.all()
    count = 0
    for tenant in tenants:
        count += len(await storage.accounts.names(tenant.id))
        if unreadable := await storage.accounts.unreadable(tenant.id):
            advice = "add the key that encrypted them to the end of HERMOD_SECRET_KEY, or put the accounts anew"
            raise Trouble(f"cannot open the credentials of {', '.join(unreadable)} of {tenant.id}", advice)
        if unreadable := await storage.webhook_endpoints.unreadable(tenant.id):
            advice = "add the key that encrypted them to the end of HERMOD_SECRET_KEY, or make the endpoints anew"
            raise Trouble(f"cannot open the secrets of {', '.join(unreadable)} of {tenant.id}", advice)
        if await storage.stripe_accounts.unreadable(tenant.id):
            advice = "add the key that encrypted them to the end of HERMOD_SECRET_KEY, or set them anew"
            raise Trouble(f"cannot open the secrets of the account at Stripe of {tenant.id}", advice)
    if not tenants:
        raise Trouble("there are no tenants yet", "create one: `hermod tenants create NAME`")
    return f"opens the credentials of all {count} accounts of {len(tenants)} tenants"


async def _clickhouse(analytics: Analytics) -> str:
    try:
        return await analytics.ping()
    except Unavailable as error:
        advice = "is CLICKHOUSE_URL right, and the server running? Events wait in the database until it is back"
        raise Trouble(str(error), advice) from None


async def _temporal(client: Client) -> str:
    answer = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    return f"version {answer.server_version} at {client.service_client.config.target_host}"


async def _namespace(client: Client) -> str:
    try:
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    except RPCError as error:
        advice = f"set TEMPORAL_NAMESPACE, or `temporal operator namespace create -n {client.namespace}`"
        raise Trouble(f"{client.namespace}: {error.message}", advice) from None
    return client.namespace


async def _search_attributes(client: Client) -> str:
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    wanted = {key.name: key.indexed_value_type.value for key in SEARCH_ATTRIBUTES}
    missing = sorted(name for name in wanted if name not in listed.custom_attributes)
    wrong = sorted(name for name, kind in wanted.items() if listed.custom_attributes.get(name, kind) != kind)
    if wrong:
        raise Trouble(f"{', '.join(wrong)} are of another type", "use another namespace for Hermod")
    if missing:
        raise Trouble(f"{', '.join(missing)} are missing", "every worker adds them when it starts; " + START_A_WORKER)
    return f"all {len(wanted)} are there"


async def _schedules(client: Client) -> str:
    try:
        listed = [one async for one in schedules.listed(client)]
    except RPCError as error:
        raise Trouble(brief(error), "create them: `hermod schedules apply`") from None
    paused = [one.name for one in listed if one.paused]
    if paused:
        raise Trouble(f"{', '.join(paused)} is paused", f"`hermod schedules resume {paused[0]}`")
    return f"all {len(listed)} are there and run"


async def _workers(client: Client) -> str:
    crews = await look_at_workers(client)
    if not crews.workflows.workers:
        raise Trouble("no worker asks for work", START_A_WORKER)
    if crews.unserved:
        lanes = [f"{lane} ({tasks} wait)" if (tasks := crews.lanes[lane].tasks) else lane for lane in crews.unserved]
        raise Trouble(f"nobody works on {', '.join(lanes)}", worker_for(crews.unserved))
    return f"{len(crews.workflows.workers)} at work, on every lane"


async def _backlog(storage: Storage, late_after: float) -> str:
    found = view(await storage.backlog.look(SystemClock().now()))
    late = found.late(late_after)
    if late:
        lanes = [
            f"{found.by_lane[lane].records} of {lane}, the oldest for {found.by_lane[lane].oldest_seconds:.0f} s"
            for lane in late
        ]
        advice = (
            "where nobody works on a lane, the check of workers says so; else there are too few workers: "
            f"start more, `python worker.py --lanes {','.join(late)}`, or look for a paused queue in Temporal's Web UI"
        )
        raise Trouble(f"accepted and not begun: {'; '.join(lanes)}", advice)
    records = sum(one.records for one in found.by_lane.values())
    return f"{records} accepted and not begun, none for longer than {found.oldest_seconds:.0f} s"


async def _activities(storage: Storage) -> str:
    failing = await storage.failing.now(SystemClock().now())
    if failing:
        told = [
            f"{one.activity} ({one.error}) in {one.workflows} workflows, such as {one.example}, "
            f"{one.attempts} times in one"
            for one in failing
        ]
        advice = "look for `activity_keeps_failing` in the worker's log: the lines around it have the error in full"
        raise Trouble(f"fail again and again: {'; '.join(told)}", advice)
    return "none fails again and again"


def _print(finding: Finding) -> None:
    mark = Text("ok    ", style="green") if finding.ok else Text("WRONG ", style="bold red")
    OUT.print(Text.assemble(mark, f"{finding.name}: {finding.detail}"), soft_wrap=True)
    if finding.advice is not None:
        OUT.print(Text(f"      -> {finding.advice}"), soft_wrap=True)
