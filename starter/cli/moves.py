"""Moving records from the command line: those that are named, or all dead letters that a filter finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Protocol

import typer

from hermod.contracts.errors import Conflict, NotFound
from hermod.contracts.notifications.dead_letters import AnyMany, ManyDeliveries, ManyMessages, ManySubmissions
from starter.cli.output import Json, complain, print_json, say
from starter.cli.session import FAILED, TenantName, client
from starter.client import Hermod
from starter.concurrency.gather_limited import gather_limited
from starter.dead_letters import Verb, move_dead_letters
from starter.notifications.parsing import checked

AT_ONCE: Final = 10

Everything = Annotated[bool, typer.Option("--all", help="All dead letters that the other options leave.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="With --all: count them, and move nothing.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Accepted since then: a time, or -2h, -3d.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="And before then.")]
ErrorCode = Annotated[str | None, typer.Option(metavar="CODE", help="Only with this error code, as the list shows it.")]

_MODELS: Final[Mapping[str, type[AnyMany]]] = {
    "messages": ManyMessages,
    "deliveries": ManyDeliveries,
    "submissions": ManySubmissions,
}
_DONE: Final = {"retry": "begun again", "discard": "discarded"}


class _Record(Protocol):
    @property
    def id(self) -> str: ...


async def move_named_or_all(
    verb: Verb,
    what: str,
    ids: Sequence[str] | None,
    filter: Mapping[str, Any],
    move: Callable[[Hermod, str], Awaitable[_Record]],
    *,
    everything: bool,
    dry_run: bool,
    yes: bool,
    tenant: TenantName,
    as_json: Json,
) -> None:
    """`what`: messages, deliveries or submissions. `move` is for one that is named."""
    chosen = {name: value for name, value in filter.items() if value is not None}
    if bool(ids) == everything:
        raise typer.BadParameter(f"name {what}, or say --all")
    if ids and (chosen or dry_run):
        raise typer.BadParameter("a filter and --dry-run go with --all")
    async with client(tenant) as hermod:
        if ids:
            await move_each(what, ids, lambda one: move(hermod, one), as_json, done=_done(verb))
        else:
            await _move_all(hermod, verb, what, chosen, dry_run=dry_run, yes=yes, as_json=as_json)


async def move_each(
    what: str,
    ids: Sequence[str],
    move: Callable[[str], Awaitable[_Record]],
    as_json: bool,
    *,
    done: Callable[[Any], str],
) -> None:
    """Move every one, some at a time. What is refused is told, and the others are moved all the same.

    `done` says of a record that was moved what it is now.
    """

    async def one(record: str) -> _Record | str:
        """The record after its move, or why it was refused."""
        try:
            return await move(record)
        except (Conflict, NotFound) as refusal:
            return str(refusal)

    answers = await gather_limited(AT_ONCE, one, ids)
    refused = {record: answer for record, answer in zip(ids, answers, strict=True) if isinstance(answer, str)}
    moved = [answer for answer in answers if not isinstance(answer, str)]
    if as_json:
        reasons = [{"id": record, "reason": reason} for record, reason in refused.items()]
        print_json({what: moved, "refused": reasons})
    else:
        for answer in moved:
            say(f"{answer.id} {done(answer)}")
        for record, reason in refused.items():
            complain(f"{record}: {reason}")
    if refused:
        raise typer.Exit(FAILED)


def status_of(record: Any) -> str:
    return str(record.status.value)


def _done(verb: Verb) -> Callable[[Any], str]:
    """What a record is after its move: one that was discarded has its status still."""
    return status_of if verb == "retry" else lambda _: _DONE["discard"]


async def _move_all(
    hermod: Hermod, verb: Verb, what: str, chosen: Mapping[str, Any], *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """In steps, until nothing is left. A step that moves nothing ends it: others are at the same."""
    asked: AnyMany = checked(_MODELS[what], {"filter": chosen, "dry_run": True})
    found = await move_dead_letters(hermod, verb, asked)
    if dry_run:
        print_json(found) if as_json else say(f"{found.matching} {what} would be {_DONE[verb]}")
        return
    if not yes:
        typer.confirm(f"{verb.capitalize()} {found.matching} {what}?", abort=True, err=True)
    ids: list[str] = []
    while True:
        step = await move_dead_letters(hermod, verb, asked.model_copy(update={"dry_run": False}))
        ids += step.ids
        if not step.remaining or not step.moved:
            break
    if as_json:
        print_json(step.model_copy(update={"matching": found.matching, "moved": len(ids), "ids": tuple(ids)}))
        return
    say(f"{len(ids)} {what} {_DONE[verb]}")
    if step.without_content:
        complain(f"{step.without_content} {what} cannot begin again: their content was dropped in its time")
