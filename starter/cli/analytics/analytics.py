"""`hermod analytics`: what events and messages come to, as small pictures or as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from rich.table import Table
from rich.text import Text

from hermod.contracts.analytics.queries import (
    ChannelFunnel,
    Funnel,
    FunnelAsked,
    Interval,
    Subject,
    Timeseries,
    TimeseriesAsked,
    TopAsked,
)
from hermod.contracts.errors import InvalidInput
from starter.analytics import queries as analytics
from starter.cli.moments import moment, past
from starter.cli.output import OUT, Json, hint, print_json, print_list, print_table, say
from starter.cli.session import TenantName, client, command
from starter.validation_errors import field_errors

BAR: Final = 30
"""Characters of the longest bar."""
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_PATH: Final = ("accepted", "sent", "delivered", "opened", "clicked")
"""What a message goes through; every other state is a way out."""

app: Final = typer.Typer(help="What events and messages come to, counted by ClickHouse.", no_args_is_help=True)

Since = Annotated[str | None, typer.Option(metavar="TIME", help="From then on: a time, or -2h, -30d.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="And before then. Default: now.")]
Type = Annotated[str, typer.Option("--type", help="A type, or order.* for all below it.")]
Property = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only events with it; may be repeated.")]
_Asked = TypeVar("_Asked", bound=BaseModel)


@app.command("timeseries")
@command
async def show_timeseries(
    type_: Type = "*",
    interval: Annotated[Interval, typer.Option(help="Of one point.")] = Interval.HOUR,
    since: Since = None,
    until: Until = None,
    where: Property = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="By whose clock days begin, like Europe/Berlin (UTC).")
    ] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Show events by time.

    \b
    Examples:
      hermod analytics timeseries --type "order.*" --since -2d
      hermod analytics timeseries --interval day --since -30d --where plan=pro
    """
    asked = _checked(
        TimeseriesAsked,
        type=type_,
        interval=interval,
        since=past(since),
        until=past(until),
        property=where,
        timezone=timezone,
    )
    async with client(tenant) as hermod:
        answer = await analytics.timeseries(hermod, asked)
    print_json(answer) if as_json else _print_series(answer)


@app.command("funnel")
@command
async def show_funnel(
    steps: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Types of events, one after another; without them, of messages.")
    ] = None,
    by: Annotated[Subject | None, typer.Option(help="Whose steps belong together (contact).")] = None,
    within: Annotated[
        str | None, typer.Option(metavar="SPAN", help="From the first step to the last: 30m, 7d.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Only messages of this channel; webhook for deliveries.")] = None,
    template: Annotated[
        str | None, typer.Option(help="Only messages of this template, like welcome or welcome/de.")
    ] = None,
    campaign: Annotated[str | None, typer.Option(help="Only messages with this campaign in their metadata.")] = None,
    since: Since = None,
    until: Until = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Show how far messages came, or contacts and sessions with --steps.

    \b
    Examples:
      hermod analytics funnel --since -30d --channel email
      hermod analytics funnel --steps cart.added,order.begun,order.paid --within 1d
    """
    asked = _checked(
        FunnelAsked,
        steps=None if steps is None else [steps],
        by=by,
        within=None if within is None else _seconds(within),
        channel=channel,
        template=template,
        campaign=campaign,
        since=past(since),
        until=past(until),
    )
    async with client(tenant) as hermod:
        answer = await analytics.funnel(hermod, asked)
    print_json(answer) if as_json else _print_funnel(answer)


@app.command("top")
@command
async def show_top(
    by: Annotated[str, typer.Option(help="type, source, contact, session, or property:NAME.")] = "type",
    type_: Type = "*",
    since: Since = None,
    until: Until = None,
    where: Property = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 10,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Show what events have most often.

    \b
    Examples:
      hermod analytics top --since -1d
      hermod analytics top --by property:plan --type order.paid
    """
    asked = _checked(TopAsked, by=by, type=type_, since=past(since), until=past(until), property=where, limit=limit)
    async with client(tenant) as hermod:
        answer = await analytics.top(hermod, asked)
    if as_json:
        print_json(answer)
    else:
        most = max((item.count for item in answer.items), default=0)
        rows = [(item.value, f"{item.count:,}", _bar(item.count, most)) for item in answer.items]
        print_table((answer.by, "events", ""), rows, empty="no events")


@app.command("refused")
@command
async def show_refused(
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last page ended.")] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """List events that were accepted and that ClickHouse cannot take; --json shows them as they came."""
    async with client(tenant) as hermod:
        page = await analytics.refused_events(hermod, cursor=cursor, limit=limit)
    if as_json:
        print_list(page.items, page.next_cursor)
        return
    rows = [(one.id, one.type, f"{one.count:,}", one.reason, one.refused_at) for one in page.items]
    print_table(("id", "type", "events", "reason", "refused"), rows, empty="no events were refused")
    if page.next_cursor is not None:
        hint(f"more: hermod analytics refused --cursor {page.next_cursor}")


def _print_series(answer: Timeseries) -> None:
    """A line of small columns, as wide as the terminal, then when the most happened."""
    counts = [point.count for point in answer.points]
    span = f"{_time(answer.since)} to {_time(answer.until)}, by {answer.interval.value}"
    if not answer.total:
        say(f"no events from {span}")
        return
    width = -(-len(counts) // max(OUT.width, 20))
    columns = [sum(counts[at : at + width]) for at in range(0, len(counts), width)]
    top = max(columns)
    OUT.print(
        Text("".join(" " if not one else _LEVELS[one * (len(_LEVELS) - 1) // top] for one in columns), style="cyan")
    )
    peak = max(answer.points, key=lambda point: point.count)
    say(f"{answer.total:,} events from {span}; most at {_time(peak.at)}: {peak.count:,}")


def _print_funnel(answer: Funnel) -> None:
    if answer.steps is not None:
        most = answer.steps[0].count
        rows = [
            (step.type, f"{step.count:,}", _percent(step.of_first), _percent(step.of_previous), _bar(step.count, most))
            for step in answer.steps
        ]
        print_table(("step", f"{answer.by}s", "of first", "of previous", ""), rows, empty="no steps")
        return
    if not answer.channels:
        say(f"nothing was accepted from {_time(answer.since)} to {_time(answer.until)}")
        return
    for channel in answer.channels:
        OUT.print(_picture(channel))


def _picture(channel: ChannelFunnel) -> Table:
    """One channel: the way of its messages as bars, then the ways out, where there were any."""
    table = Table(box=None, pad_edge=False, show_header=False, title=channel.channel, title_justify="left")
    counts: dict[str, int] = channel.model_dump(exclude={"channel"})
    way = [name for name in _PATH if counts[name] or channel.channel != "webhook"]
    ways_out = [name for name, count in counts.items() if count and name not in _PATH]
    for name in way + ways_out:
        count = counts[name]
        share = _percent(count / channel.accepted if channel.accepted else None)
        style = "cyan" if name in _PATH else "yellow"
        table.add_row(
            name, Text(f"{count:,}", justify="right"), share, Text(_bar(count, channel.accepted), style=style)
        )
    return table


def _bar(count: int, most: int) -> str:
    eighths = count * BAR * 8 // most if most else 0
    return "█" * (min(eighths, BAR * 8) // 8) + (_EIGHTHS[eighths % 8].strip() if eighths < BAR * 8 else "")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


def _seconds(text: str) -> int:
    now = datetime.now(UTC)
    try:
        return round((moment(f"+{text.removeprefix('+')}", now) - now).total_seconds())
    except (ValueError, OverflowError):
        raise typer.BadParameter("write a span like 90s, 30m, 2h or 7d", param_hint="--within") from None


def _checked(model: type[_Asked], **given: Any) -> _Asked:
    """What was asked for; what was not said is left out. Raises InvalidInput."""
    named = {name: value for name, value in given.items() if value is not None}
    try:
        return model.model_validate(named)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, named)) from None
