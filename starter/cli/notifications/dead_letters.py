"""`hermod dlq`: messages that were given up, or whose outcome nobody knows."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Resolution
from starter.cli.moments import past
from starter.cli.moves import (
    DryRun,
    ErrorCode,
    Everything,
    Since,
    Until,
    Yes,
    move_each,
    move_named_or_all,
    status_of,
)
from starter.cli.notifications.messages import status
from starter.cli.notifications.story import print_page
from starter.cli.output import Json, hint, print_list
from starter.cli.session import TenantName, client, command

PAGE: Final = 200

app: Final = typer.Typer(help="Dead letters: messages that were given up.", no_args_is_help=True)
app.command("show")(status)

OnlyChannel = Annotated[Channel | None, typer.Option("--channel", help="Only this channel.")]
MessageIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="msg_…, as the list shows them.")]


class Fate(StrEnum):
    SENT = "sent"
    NOT_SENT = "not_sent"


@app.command("list")
@command
async def list_dead_letters(
    channel: OnlyChannel = None,
    error_code: ErrorCode = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last page ended.")] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """List them, newest first."""
    async with client(tenant) as hermod:
        page = await hermod.dead_letters(**_filter(channel, error_code, since, until), cursor=cursor, limit=limit)
    if as_json:
        print_list(page.items, page.next_cursor)
        return
    print_page(page, empty="no dead letters")
    if page.next_cursor is not None:
        hint(f"more: hermod dlq list --cursor {page.next_cursor}")


@app.command("retry")
@command
async def retry(
    messages: MessageIds = None,
    everything: Everything = False,
    channel: OnlyChannel = None,
    error_code: ErrorCode = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Begin failed messages again, with all their attempts.

    A message whose outcome is unknown may have been sent: resolve it first.

    \b
    Examples:
      hermod dlq retry msg_019aa1c2d3e40123456789abcdef
      hermod dlq retry --all --channel sms --since -6h --dry-run
    """
    await move_named_or_all(
        "retry",
        "messages",
        messages,
        _filter(channel, error_code, since, until),
        lambda hermod, one: hermod.retry(one),
        everything=everything,
        dry_run=dry_run,
        yes=yes,
        tenant=tenant,
        as_json=as_json,
    )


@app.command("discard")
@command
async def discard(
    messages: MessageIds = None,
    everything: Everything = False,
    channel: OnlyChannel = None,
    error_code: ErrorCode = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Take messages off the list. Their records stay.

    \b
    Examples:
      hermod dlq discard msg_019aa1c2d3e40123456789abcdef
      hermod dlq discard --all --error-code bounced --until -30d
    """
    await move_named_or_all(
        "discard",
        "messages",
        messages,
        _filter(channel, error_code, since, until),
        lambda hermod, one: hermod.discard(one),
        everything=everything,
        dry_run=dry_run,
        yes=yes,
        tenant=tenant,
        as_json=as_json,
    )


@app.command("resolve")
@command
async def resolve(
    messages: Annotated[list[str], typer.Argument(metavar="ID...", help="msg_…, as the list shows them.")],
    outcome: Annotated[Fate, typer.Option(help="What the provider's own records say.")],
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Say what became of messages whose outcome is unknown: `sent` ends them, `not_sent` sends them again.

    \b
    Example:
      hermod dlq resolve msg_019aa1c2d3e40123456789abcdef --outcome sent
    """
    resolution = Resolution(outcome=outcome.value)
    async with client(tenant) as hermod:
        await move_each(
            "messages", messages, lambda message: hermod.resolve(message, resolution), as_json, done=status_of
        )


def _filter(channel: Channel | None, error_code: str | None, since: str | None, until: str | None) -> dict[str, Any]:
    return {"channel": channel, "error_code": error_code, "since": past(since), "until": past(until)}
