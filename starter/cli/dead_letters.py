"""`hermod dlq`: messages that were given up, or whose outcome nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Final

import typer

from hermod.contracts.content import Channel
from hermod.contracts.errors import Conflict, HermodError, NotFound
from hermod.contracts.messages import Receipt, Resolution, Status
from starter.cli.messages import status
from starter.cli.output import Json, complain, hint, print_json, print_list, say
from starter.cli.session import FAILED, TenantName, client, command
from starter.cli.story import print_page
from starter.client import Hermod

AT_ONCE: Final = 10
PAGE: Final = 200

app: Final = typer.Typer(help="Dead letters: messages that were given up.", no_args_is_help=True)
app.command("show")(status)

OnlyChannel = Annotated[Channel | None, typer.Option("--channel", help="Only this channel.")]
MessageIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="msg_…, as the list shows them.")]
Everything = Annotated[bool, typer.Option("--all", help="All that the list would show.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class Fate(StrEnum):
    SENT = "sent"
    NOT_SENT = "not_sent"


@app.command("list")
@command
async def list_dead_letters(
    channel: OnlyChannel = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last page ended.")] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """List them, newest first."""
    async with client(tenant) as hermod:
        page = await hermod.dead_letters(channel=channel, cursor=cursor, limit=limit)
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
    yes: Yes = False,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Begin failed messages again, with all their attempts.

    A message whose outcome is unknown may have been sent: resolve it first.

    \b
    Examples:
      hermod dlq retry msg_019aa1c2d3e40123456789abcdef
      hermod dlq retry --all --channel sms
    """
    async with client(tenant) as hermod:
        chosen = await _chosen(hermod, messages, everything, channel, {Status.FAILED})
        _confirm(f"Retry {len(chosen)} messages?", everything and not yes)
        await _each(chosen, hermod.retry, as_json)


@app.command("discard")
@command
async def discard(
    messages: MessageIds = None,
    everything: Everything = False,
    channel: OnlyChannel = None,
    yes: Yes = False,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Take messages off the list. Their records stay.

    \b
    Example:
      hermod dlq discard msg_019aa1c2d3e40123456789abcdef
    """
    async with client(tenant) as hermod:
        chosen = await _chosen(hermod, messages, everything, channel, {Status.FAILED, Status.UNKNOWN})
        _confirm(f"Discard {len(chosen)} messages?", everything and not yes)
        await _each(chosen, hermod.discard, as_json, done="discarded")


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
        await _each(messages, lambda message: hermod.resolve(message, resolution), as_json)


async def _chosen(
    hermod: Hermod, messages: list[str] | None, everything: bool, channel: Channel | None, states: set[Status]
) -> list[str]:
    if bool(messages) == everything:
        raise typer.BadParameter("name messages, or say --all")
    if messages:
        return messages
    chosen: list[str] = []
    cursor: str | None = None
    while True:
        page = await hermod.dead_letters(channel=channel, cursor=cursor, limit=PAGE)
        chosen += [one.id for one in page.items if one.status in states]
        cursor = page.next_cursor
        if cursor is None:
            return chosen


def _confirm(question: str, asked: bool) -> None:
    if asked:
        typer.confirm(question, abort=True, err=True)


async def _each(
    messages: list[str], move: Callable[[str], Awaitable[Receipt]], as_json: bool, done: str | None = None
) -> None:
    """Move every message, some at a time. What is refused is told, and the others are moved all the same.

    `done`: what people are told of each, where its state does not say it.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(message: str) -> Receipt | HermodError:
        async with turns:
            try:
                return await move(message)
            except (Conflict, NotFound) as refused:
                return refused

    answers = await asyncio.gather(*map(one, messages))
    refusals = {
        message: str(answer)
        for message, answer in zip(messages, answers, strict=True)
        if isinstance(answer, HermodError)
    }
    receipts = [answer for answer in answers if isinstance(answer, Receipt)]
    if as_json:
        refused = [{"id": message, "reason": reason} for message, reason in refusals.items()]
        print_json({"messages": receipts, "refused": refused})
    else:
        for receipt in receipts:
            say(f"{receipt.id} {done or receipt.status.value}")
        for message, reason in refusals.items():
            complain(f"{message}: {reason}")
    if refusals:
        raise typer.Exit(FAILED)
