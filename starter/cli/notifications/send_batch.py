"""`hermod send-batch`: a file of messages, a few thousand at a time. A bad line never loses the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hermod.contracts.errors import FieldError, HermodError, InvalidInput
from hermod.contracts.notifications.messages import Submission
from starter.cli.notifications.batch_files import (
    Entry,
    Form,
    UnreadableFile,
    assignments,
    form_of,
    read_messages,
    with_defaults,
)
from starter.cli.output import ERR, Json, complain, print_json, say
from starter.cli.session import FAILED, TenantName, client, command, explain
from starter.client import Hermod
from starter.notifications.parsing import keyed_message_from
from starter.validation_errors import one_line

AT_ONCE: Final = 2_500
"""Messages stored in one statement, and steps of the progress bar."""
SHOWN: Final = 50
"""Rejected lines that are listed for a person; with --json all of them are."""


@dataclass
class Tally:
    """What became of the file so far."""

    accepted: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)

    def reject(self, line: int, errors: Iterable[FieldError]) -> None:
        self.rejected.append({"line": line, "errors": [error._asdict() for error in errors]})


@command
async def send_batch(
    file: Annotated[str, typer.Argument(help="JSON lines, CSV with a header line, or a JSON document; - for stdin.")],
    form: Annotated[
        Form | None, typer.Option("--format", help="Default: what the name and the first line say.")
    ] = None,
    fields: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="For every message that leaves it out.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Line 7 gets the key KEY#7, so that the file can be sent again safely.")
    ] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Send a file of messages.

    Each has the fields of POST /v1/messages, and an idempotency_key where it has one. Rejected lines are listed with
    their numbers; the others are sent. Exit code 1 if any line was rejected.

    \b
    Examples:
      hermod send-batch newsletter.jsonl --idempotency-key may-news
      hermod send-batch people.csv --set channel=sms --set body="We open at 9"
      generate-messages | hermod send-batch -
    """
    try:
        defaults = assignments(fields or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from None
    tally, code = Tally(), 0
    with _opened(file) as text:
        async with client(tenant) as hermod:
            entries = read_messages(text, form or form_of(file))
            try:
                await _send_all(hermod, entries, defaults, idempotency_key, tally)
            except UnreadableFile as error:
                complain(str(error))
                code = FAILED
            except HermodError as error:
                code = explain(error)
                again = "with the same --idempotency-key" if idempotency_key else "what is left of the file"
                complain(f"stopped after {len(tally.accepted)} accepted messages; send {again} later")
    _answer(tally, as_json)
    if code or tally.rejected:
        raise typer.Exit(code or FAILED)


async def _send_all(
    hermod: Hermod, entries: Iterator[Entry], defaults: dict[str, Any], key: str | None, tally: Tally
) -> None:
    columns = (TextColumn("sent"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as progress:
        task = progress.add_task("", total=None)
        while chunk := list(islice(entries, AT_ONCE)):
            await _send_chunk(hermod, chunk, defaults, key, tally)
            progress.advance(task, len(chunk))


async def _send_chunk(
    hermod: Hermod, chunk: list[Entry], defaults: dict[str, Any], key: str | None, tally: Tally
) -> None:
    good: list[tuple[int, Submission]] = []
    for entry in chunk:
        if entry.fault is not None:
            tally.reject(entry.line, [FieldError("line", entry.fault)])
            continue
        try:
            given = with_defaults(entry, defaults)
            own_key = f"{key}#{entry.line}" if key is not None else None
            good.append((entry.line, keyed_message_from(given, default_key=own_key)))
        except InvalidInput as wrong:
            tally.reject(entry.line, wrong.errors)
    receipt = await hermod.take_many([asked for _, asked in good])
    tally.batches.append(receipt.batch_id)
    refused = {one.index: one.errors for one in receipt.rejected}
    receipts = iter(receipt.receipts)
    for index, (line, _) in enumerate(good):
        if index in refused:
            tally.reject(line, refused[index])
        else:
            tally.accepted.append({"line": line, "id": next(receipts).id})


def _answer(tally: Tally, as_json: bool) -> None:
    tally.rejected.sort(key=lambda one: int(one["line"]))
    if as_json:
        print_json(
            {
                "accepted": len(tally.accepted),
                "rejected": tally.rejected,
                "batches": tally.batches,
                "messages": tally.accepted,
            }
        )
        return
    for one in tally.rejected[:SHOWN]:
        complain(f"line {one['line']}: {one_line([FieldError(**error) for error in one['errors']])}")
    if len(tally.rejected) > SHOWN:
        complain(f"… and {len(tally.rejected) - SHOWN} more; --json lists all")
    say(f"{len(tally.accepted)} accepted, {len(tally.rejected)} rejected")


@contextmanager
def _opened(file: str) -> Iterator[TextIO]:
    """The file as text, without a byte order mark. Raises BadParameter where it cannot be opened."""
    if file == "-":
        stream = typer.get_text_stream("stdin", encoding="utf-8-sig")
        yield stream
        return
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(Path(file).open(encoding="utf-8-sig", newline=""))
        except OSError as error:
            raise typer.BadParameter(f"cannot read {file}: {error.strerror}", param_hint="FILE") from None
        yield opened
