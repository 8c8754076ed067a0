"""`hermod webhooks deliveries`: what is, was and will be delivered, the dead letters among them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from hermod.contracts.webhooks.deliveries import DeliveryAttemptView, DeliveryPage, DeliveryStatus, DeliveryView
from starter.cli.moments import past
from starter.cli.moves import (
    DryRun,
    Everything,
    Since,
    Until,
    Yes,
    move_each,
    move_named_or_all,
    status_of,
)
from starter.cli.output import Json, hint, print_facts, print_json, print_list, print_table, say
from starter.cli.session import TenantName, client, command
from starter.webhooks.curl import attempt_as_curl
from starter.webhooks.deliveries import cancel_delivery, deliveries, delivery_status, discard_delivery, retry_delivery

PAGE: Final = 200

app: Final = typer.Typer(help="Deliveries to endpoints; with --status failed, the dead letters.", no_args_is_help=True)

DeliveryId = Annotated[str, typer.Argument(metavar="ID", help="whd_…, as the list shows it.")]
DeliveryIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="whd_…, as the list shows them.")]
OnlyEndpoint = Annotated[str | None, typer.Option("--endpoint", help="Only to this endpoint.")]
OnlyType = Annotated[str | None, typer.Option("--type", help="Only such events, like order.*.")]
OnlyCode = Annotated[int | None, typer.Option("--status-code", help="Only where the receiver answered so last.")]


class Ended(StrEnum):
    """How a delivery has ended that can be retried or discarded with others."""

    FAILED = "failed"
    PARKED = "parked"
    SKIPPED = "skipped"


OnlyEnded = Annotated[Ended | None, typer.Option("--status", help="With --all; without it, those that failed.")]


@app.command("list")
@command
async def list_deliveries(
    endpoint: OnlyEndpoint = None,
    status: Annotated[DeliveryStatus | None, typer.Option(help="Only these; discarded ones are left out then.")] = None,
    type_: OnlyType = None,
    status_code: OnlyCode = None,
    discarded: Annotated[
        bool | None, typer.Option("--discarded/--not-discarded", help="Only those that were discarded, or the others.")
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last page ended.")] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """List them, newest first.

    \b
    Examples:
      hermod webhooks deliveries list --status failed --since -1d
      hermod webhooks deliveries list --endpoint whe_019aa1c2d3e40123456789abcdef --type "order.*"
    """
    async with client(tenant) as hermod:
        page = await deliveries(
            hermod,
            endpoint=endpoint,
            status=status,
            event_type=type_,
            since=past(since),
            until=past(until),
            status_code=status_code,
            discarded=discarded,
            cursor=cursor,
            limit=limit,
        )
    if as_json:
        print_list(page.items, page.next_cursor)
    else:
        _print_page(page)


@app.command("show")
@command
async def show(
    delivery: DeliveryId,
    curl: Annotated[bool, typer.Option("--curl", help="An attempt as a shell script, to make it by hand.")] = False,
    attempt: Annotated[int | None, typer.Option(min=1, help="Which one, with --curl; the last one without it.")] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Tell a delivery's story: where it is, every request, what comes next.

    The script of --curl has no secrets in it: it asks for WEBHOOK_SECRET, and for a HEADER_… for each custom header.

    \b
    Example:
      hermod webhooks deliveries show whd_019aa1c2d3e40123456789abcdef --curl > attempt.sh
    """
    if attempt is not None and not curl:
        raise typer.BadParameter("goes with --curl", param_hint="--attempt")
    async with client(tenant) as hermod:
        if curl:
            script = await attempt_as_curl(hermod, delivery, attempt)
            print_json({"script": script}) if as_json else say(script.rstrip("\n"))
            return
        view = await delivery_status(hermod, delivery)
    if as_json:
        print_json(view)
    else:
        _print_story(view)


@app.command("retry")
@command
async def retry(
    which: DeliveryIds = None,
    everything: Everything = False,
    endpoint: OnlyEndpoint = None,
    type_: OnlyType = None,
    status: OnlyEnded = None,
    status_code: OnlyCode = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Begin them again, with all their attempts. At a rate of its own that is a replay: `hermod webhooks replay`.

    \b
    Example:
      hermod webhooks deliveries retry --all --status-code 503 --since -6h
    """
    await move_named_or_all(
        "retry",
        "deliveries",
        which,
        _filter(endpoint, type_, status, status_code, since, until),
        retry_delivery,
        everything=everything,
        dry_run=dry_run,
        yes=yes,
        tenant=tenant,
        as_json=as_json,
    )


@app.command("cancel")
@command
async def cancel(
    which: Annotated[list[str], typer.Argument(metavar="ID...", help="whd_…, as the list shows them.")],
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Withdraw deliveries that wait. One that is on its way, or has ended, stays as it is."""
    async with client(tenant) as hermod:
        await move_each("deliveries", which, lambda one: cancel_delivery(hermod, one), as_json, done=status_of)


@app.command("discard")
@command
async def discard(
    which: DeliveryIds = None,
    everything: Everything = False,
    endpoint: OnlyEndpoint = None,
    type_: OnlyType = None,
    status: OnlyEnded = None,
    status_code: OnlyCode = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Take dead letters off the list, out of replays, and out of the way of their lines. Their records stay."""
    await move_named_or_all(
        "discard",
        "deliveries",
        which,
        _filter(endpoint, type_, status, status_code, since, until),
        discard_delivery,
        everything=everything,
        dry_run=dry_run,
        yes=yes,
        tenant=tenant,
        as_json=as_json,
    )


def _filter(
    endpoint: str | None,
    type_: str | None,
    status: Ended | None,
    status_code: int | None,
    since: str | None,
    until: str | None,
) -> dict[str, Any]:
    times = {"since": past(since), "until": past(until)}
    return {"endpoint": endpoint, "type": type_, "status": status, "status_code": status_code, **times}


def _print_page(page: DeliveryPage) -> None:
    columns = ("id", "endpoint", "type", "status", "attempts", "code", "created", "next attempt", "error")
    rows = [
        (
            one.id,
            one.endpoint_id,
            one.event_type,
            one.status,
            one.attempt_count,
            one.status_code,
            one.created_at,
            one.next_attempt_at,
            one.error,
        )
        for one in page.items
    ]
    print_table(columns, rows, empty="no deliveries")
    if page.next_cursor is not None:
        hint(f"more: the same with --cursor {page.next_cursor}")


def _print_story(view: DeliveryView) -> None:
    print_facts(
        [
            ("id", view.id),
            ("endpoint", view.endpoint_id),
            ("url", view.url),
            ("event", view.event_id),
            ("type", view.event_type),
            ("ordering key", view.ordering_key),
            ("status", view.status),
            ("discarded", view.discarded_at),
            ("error", view.error),
            ("created", view.created_at),
            ("next attempt", view.next_attempt_at),
            ("finished", view.finished_at),
            ("workflow", view.workflow_id),
        ]
    )
    if view.attempts:
        say("")
        columns = (
            "attempt",
            "outcome",
            "status",
            "ms",
            "dns",
            "connect",
            "tls",
            "first byte",
            "body",
            "started",
            "error",
        )
        print_table(columns, map(_row, view.attempts), empty="")


def _row(one: DeliveryAttemptView) -> tuple[object, ...]:
    phases = one.phases
    return (
        one.number,
        one.outcome or "under way",
        one.status_code,
        one.duration_ms,
        *(None if ms is None else round(ms) for ms in (phases.dns, phases.connect, phases.tls)),
        *(None if ms is None else round(ms) for ms in (phases.first_byte, phases.body)),
        one.started_at,
        one.error,
    )
