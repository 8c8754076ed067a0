"""`hermod track`: an event for analytics, or a file of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer

from hermod.contracts.analytics.events import EventsReceipt
from hermod.contracts.errors import FieldError, HermodError
from starter.analytics.validation import read_one
from starter.cli.json_files import read_object
from starter.cli.moments import moment
from starter.cli.output import Json, complain, print_json, say
from starter.cli.session import FAILED, TenantName, client, command, explain
from starter.client import Hermod
from starter.notifications.parsing import MalformedJson, read_json
from starter.validation_errors import one_line

AT_ONCE: Final = 5_000
"""Events stored in one transaction."""
SHOWN: Final = 50
"""Rejected lines that are listed for a person; with --json all of them are."""


def add_to(root: typer.Typer) -> None:
    root.command("track")(track)


@command
async def track(
    type_: Annotated[str | None, typer.Argument(metavar="[TYPE]", help="Like page.viewed.")] = None,
    properties: Annotated[
        str | None, typer.Argument(metavar="[PROPERTIES]", help="A JSON object, @FILE with one, or - for stdin.")
    ] = None,
    file: Annotated[
        typer.FileBinaryRead | None,
        typer.Option("--file", help="JSON lines, an event each, instead of one event; - for stdin."),
    ] = None,
    event_id: Annotated[str | None, typer.Option(help="Your own id; makes the command safe to repeat.")] = None,
    contact: Annotated[str | None, typer.Option(help="Your own id of the person; never an address.")] = None,
    session: Annotated[str | None, typer.Option(help="Your own id of the visit.")] = None,
    occurred_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it happened: 2030-05-01T12:00:00Z. Default: now.")
    ] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Tell what happened, for analytics.

    What is accepted is stored when this returns, and soon in ClickHouse. Of a file, rejected lines are listed with
    their numbers; the others are taken. Exit code 1 if any line was rejected.

    \b
    Examples:
      hermod track page.viewed '{"path": "/pricing"}' --session s-81
      hermod track order.paid '{"total": 49.99}' --event-id order-42-paid --contact customer-7
      hermod track --file events.jsonl
    """
    if (type_ is None) == (file is None):
        raise typer.BadParameter("name a TYPE, or a --file of events")
    if file is not None:
        await _track_file(file, tenant, as_json)
        return
    async with client(tenant) as hermod:
        receipt = await hermod.track(
            type_ or "",
            _properties(properties),
            occurred_at=_when(occurred_at),
            event_id=event_id,
            contact=contact,
            session=session,
        )
    if as_json:
        print_json(receipt)
    else:
        say("accepted; it was known already" if receipt.duplicates else "accepted")


async def _track_file(file: BinaryIO, tenant: str | None, as_json: bool) -> None:
    total = EventsReceipt(accepted=0)
    lines: list[int] = []
    code = 0
    async with client(tenant) as hermod:
        try:
            async for receipt, numbers in _sent(hermod, file):
                total = _sum(total, receipt)
                lines += [numbers[rejected.index] for rejected in receipt.rejected]
        except HermodError as error:
            code = explain(error)
            complain(f"stopped after {total.accepted} accepted events")
    _answer(total, lines, as_json)
    if code or lines:
        raise typer.Exit(code or FAILED)


async def _sent(hermod: Hermod, file: BinaryIO) -> AsyncIterator[tuple[EventsReceipt, list[int]]]:
    """Receipts, each with the numbers of the lines that it is about."""
    numbered = ((number, line) for number, line in enumerate(file, 1) if line.strip())
    while chunk := list(islice(numbered, AT_ONCE)):
        receipt = await hermod.core.events.take(hermod.tenant, [read_one(line) for _, line in chunk])
        yield receipt, [number for number, _ in chunk]


def _sum(total: EventsReceipt, receipt: EventsReceipt) -> EventsReceipt:
    return EventsReceipt(
        accepted=total.accepted + receipt.accepted,
        duplicates=total.duplicates + receipt.duplicates,
        rejected=total.rejected + receipt.rejected,
    )


def _answer(total: EventsReceipt, lines: list[int], as_json: bool) -> None:
    rejected = [(line, one.errors) for line, one in zip(lines, total.rejected, strict=True)]
    if as_json:
        told = [{"line": line, "errors": errors} for line, errors in rejected]
        print_json({"accepted": total.accepted, "duplicates": total.duplicates, "rejected": told})
        return
    for line, errors in rejected[:SHOWN]:
        complain(f"line {line}: {one_line([FieldError(**error) for error in errors])}")
    if len(rejected) > SHOWN:
        complain(f"… and {len(rejected) - SHOWN} more; --json lists all")
    known = f", {total.duplicates} of them known already" if total.duplicates else ""
    say(f"{total.accepted} accepted{known}, {len(rejected)} rejected")


def _properties(text: str | None) -> dict[str, Any]:
    """The argument's object, or the file's. Raises BadParameter."""
    if text is None:
        return {}
    if text == "-" or text.startswith("@"):
        return read_object(Path(text.removeprefix("@")))
    try:
        found = read_json(text)
    except MalformedJson as error:
        raise typer.BadParameter(f"the properties are {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter("the properties are not a JSON object")
    return found


def _when(text: str | None) -> datetime | None:
    """Raises BadParameter."""
    try:
        return None if text is None else moment(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--occurred-at") from None
