"""`hermod webhooks replay` and `hermod webhooks replays`: send deliveries again, and look after those who do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from hermod.contracts.errors import InvalidInput
from hermod.contracts.webhooks.deliveries import DeliveryStatus, ReplayInput, ReplayStatus, ReplayView
from starter.cli.moments import past
from starter.cli.output import Json, hint, print_facts, print_json, print_list, print_table, say
from starter.cli.session import TenantName, client, command
from starter.validation_errors import field_errors
from starter.webhooks.replays import move_replay, replay, replay_status
from starter.webhooks.replays import replays as begun_replays

PAGE: Final = 200

replays: Final = typer.Typer(help="Replays that were begun.", no_args_is_help=True)

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="The endpoint's id.")]
ReplayId = Annotated[str, typer.Argument(metavar="ID", help="rpl_…, as `replay` printed it.")]


def add_to(webhooks: typer.Typer) -> None:
    webhooks.command("replay")(replay_deliveries)
    webhooks.add_typer(replays, name="replays")


@command
async def replay_deliveries(
    endpoint: EndpointId,
    since: Annotated[str, typer.Option(metavar="TIME", help="Accepted since then: a time, or -2h, -3d.")],
    until: Annotated[str | None, typer.Option(metavar="TIME", help="And before then.")] = None,
    types: Annotated[list[str] | None, typer.Option("--type", help="Only such events, like order.*.")] = None,
    status: Annotated[
        list[DeliveryStatus] | None, typer.Option(help="Only deliveries that ended so (default: failed, parked).")
    ] = None,
    per_second: Annotated[float, typer.Option(help="How many are begun each second.")] = 10.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Send deliveries of an endpoint again, with the ids that they had.

    What is open is passed over, and what was delivered is sent again only with --status delivered. Asking twice does
    no harm.

    \b
    Examples:
      hermod webhooks replay whe_019aa1c2d3e40123456789abcdef --since -2h --dry-run
      hermod webhooks replay whe_019aa1c2d3e40123456789abcdef --since -3d --type "order.*" --per-second 50
    """
    given: dict[str, Any] = {
        "since": past(since),
        "until": past(until),
        "types": types or (),
        "per_second": per_second,
        "dry_run": dry_run,
    }
    asked = _checked(given, status)
    async with client(tenant) as hermod:
        begun = await replay(hermod, endpoint, asked)
    if as_json:
        print_json(begun)
    elif begun.id is None:
        say(f"{begun.matching} would be sent again")
    else:
        say(f"{begun.id} {begun.status}: {begun.matching} match")
        hint(f"follow it: hermod webhooks replays show {begun.id}")


@replays.command("list")
@command
async def list_replays(
    endpoint: Annotated[str | None, typer.Option(help="Only of this endpoint.")] = None,
    status: Annotated[ReplayStatus | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last page ended.")] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """List replays, newest first.

    \b
    Example:
      hermod webhooks replays list --status running
    """
    async with client(tenant) as hermod:
        page = await begun_replays(hermod, endpoint=endpoint, status=status, cursor=cursor, limit=limit)
    if as_json:
        print_list(page.items, page.next_cursor)
        return
    columns = ("id", "endpoint", "status", "matching", "begun", "created", "finished")
    rows = [
        (one.id, one.endpoint_id, one.status, one.matching, one.begun, one.created_at, one.finished_at)
        for one in page.items
    ]
    print_table(columns, rows, empty="no replays")
    if page.next_cursor is not None:
        hint(f"more: hermod webhooks replays list --cursor {page.next_cursor}")


@replays.command("show")
@command
async def show(replay_id: ReplayId, tenant: TenantName = None, as_json: Json = False) -> None:
    """Tell how far it has come."""
    async with client(tenant) as hermod:
        _print(await replay_status(hermod, replay_id), as_json)


@replays.command("pause")
@command
async def pause(replay_id: ReplayId, tenant: TenantName = None, as_json: Json = False) -> None:
    """Begin no more deliveries until it is resumed."""
    await _move(replay_id, ReplayStatus.PAUSED, tenant, as_json)


@replays.command("resume")
@command
async def resume(replay_id: ReplayId, tenant: TenantName = None, as_json: Json = False) -> None:
    """Go on where it was paused."""
    await _move(replay_id, ReplayStatus.RUNNING, tenant, as_json)


@replays.command("cancel")
@command
async def cancel(replay_id: ReplayId, tenant: TenantName = None, as_json: Json = False) -> None:
    """End it where it is. Deliveries that were begun go on."""
    await _move(replay_id, ReplayStatus.CANCELLED, tenant, as_json)


async def _move(replay_id: str, wanted: ReplayStatus, tenant: str | None, as_json: bool) -> None:
    async with client(tenant) as hermod:
        moved = await move_replay(hermod, replay_id, wanted)
    if as_json:
        print_json(moved)
    else:
        say(f"{moved.id} {moved.status}")


def _print(view: ReplayView, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    print_facts(
        [
            ("id", view.id),
            ("endpoint", view.endpoint_id),
            ("status", view.status),
            ("matching", view.matching),
            ("begun", view.begun),
            ("per second", view.per_second),
            ("created", view.created_at),
            ("finished", view.finished_at),
        ]
    )


def _checked(given: dict[str, Any], status: Sequence[DeliveryStatus] | None) -> ReplayInput:
    """Raises InvalidInput."""
    if status:
        given["status"] = status
    try:
        return ReplayInput.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None
