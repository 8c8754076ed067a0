"""`hermod webhooks deliveries`: what is, was and will be delivered, the dead letters among them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import typer

from hermod.contracts.errors import Conflict, NotFound
from hermod.contracts.webhooks import DeliveryAttemptView, DeliveryPage, DeliveryStatus, DeliverySummary, DeliveryView
from starter.cli.output import Json, complain, hint, print_facts, print_json, print_list, print_table, say
from starter.cli.session import FAILED, TenantName, client, command
from starter.cli.webhook_replays import past
from starter.webhook_curl import attempt_as_curl
from starter.webhooks import cancel_delivery, deliveries, delivery_status, discard_delivery, retry_delivery

PAGE: Final = 200

app: Final = typer.Typer(help="Deliveries to endpoints; with --status failed, the dead letters.", no_args_is_help=True)

DeliveryId = Annotated[str, typer.Argument(metavar="ID", help="whd_…, as the list shows it.")]
DeliveryIds = Annotated[list[str], typer.Argument(metavar="ID...", help="whd_…, as the list shows them.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Accepted since then: a time, or -2h, -3d.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="And before then.")]


@app.command("list")
@command
async def list_deliveries(
    endpoint: Annotated[str | None, typer.Option(help="Only to this endpoint.")] = None,
    status: Annotated[DeliveryStatus | None, typer.Option(help="Only these; discarded ones are left out then.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only such events, like order.*.")] = None,
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
            since=past(since) if since else None,
            until=past(until) if until else None,
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
async def retry(which: DeliveryIds, tenant: TenantName = None, as_json: Json = False) -> None:
    """Begin them again, with all their attempts. Many at once are a replay: `hermod webhooks replay`."""
    async with client(tenant) as hermod:
        await _each(which, lambda one: retry_delivery(hermod, one), as_json)


@app.command("cancel")
@command
async def cancel(which: DeliveryIds, tenant: TenantName = None, as_json: Json = False) -> None:
    """Withdraw deliveries that wait. One that is on its way, or has ended, stays as it is."""
    async with client(tenant) as hermod:
        await _each(which, lambda one: cancel_delivery(hermod, one), as_json)


@app.command("discard")
@command
async def discard(which: DeliveryIds, tenant: TenantName = None, as_json: Json = False) -> None:
    """Take dead letters off the list, out of replays, and out of the way of their lines. Their records stay."""
    async with client(tenant) as hermod:
        await _each(which, lambda one: discard_delivery(hermod, one), as_json, done="discarded")


async def _each(
    which: list[str], move: Callable[[str], Awaitable[DeliverySummary]], as_json: bool, done: str | None = None
) -> None:
    """Move every delivery. What is refused is told, and the others are moved all the same.

    `done`: what people are told of each, where its state does not say it.
    """
    moved: list[DeliverySummary] = []
    refused: dict[str, str] = {}
    for delivery in which:
        try:
            moved.append(await move(delivery))
        except (Conflict, NotFound) as refusal:
            refused[delivery] = str(refusal)
    if as_json:
        reasons = [{"id": delivery, "reason": reason} for delivery, reason in refused.items()]
        print_json({"deliveries": moved, "refused": reasons})
    else:
        for one in moved:
            say(f"{one.id} {done or one.status.value}")
        for delivery, reason in refused.items():
            complain(f"{delivery}: {reason}")
    if refused:
        raise typer.Exit(FAILED)


def _print_page(page: DeliveryPage) -> None:
    columns = ("id", "endpoint", "type", "status", "attempts", "code", "created", "next attempt", "error")
    rows = [
        (
            one.id,
            one.endpoint_id,
            one.event_type,
            one.status,
            one.attempts,
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
            ("error", view.error),
            ("created", view.created_at),
            ("next attempt", view.next_attempt_at),
            ("finished", view.finished_at),
            ("workflow", view.workflow_id),
        ]
    )
    if view.log:
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
        print_table(columns, map(_row, view.log), empty="")


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
