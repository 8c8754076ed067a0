"""`hermod emit`: an event of the application, to every endpoint that asked for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from starter.cli.json_files import read_object
from starter.cli.output import Json, hint, print_json, say
from starter.cli.session import TenantName, client, command
from starter.notifications.parsing import MalformedJson, read_json
from starter.webhooks.deliveries import emit_event


def add_to(root: typer.Typer) -> None:
    root.command("emit")(emit)


@command
async def emit(
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="Like order.paid.")],
    payload: Annotated[
        str, typer.Argument(metavar="PAYLOAD", help="A JSON object, @FILE with one, or - for standard input.")
    ],
    event_id: Annotated[str | None, typer.Option(help="Your own id; makes the command safe to repeat.")] = None,
    ordering_key: Annotated[
        str | None, typer.Option(help="Events with the same key arrive in order, where an endpoint asked for that.")
    ] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Send an event to every endpoint that asked for its type.

    It is stored when this returns, and delivered whatever happens from then on.

    \b
    Examples:
      hermod emit order.paid '{"id": 7}'
      hermod emit order.paid @order.json --event-id order-7 --ordering-key customer-42
    """
    given: dict[str, Any] = {"type": type_, "payload": _payload(payload)}
    if event_id is not None:
        given["event_id"] = event_id
    if ordering_key is not None:
        given["ordering_key"] = ordering_key
    async with client(tenant) as hermod:
        receipt = await emit_event(hermod, given)
    if as_json:
        print_json(receipt)
        return
    count = len(receipt.deliveries)
    say(f"{receipt.event_id} {count} {'delivery' if count == 1 else 'deliveries'}")
    for delivery in receipt.deliveries:
        say(f"{delivery.id} {delivery.endpoint_id}")
    if receipt.deliveries:
        hint(f"follow one: hermod webhooks deliveries show {receipt.deliveries[0].id}")


def _payload(text: str) -> Any:
    """The argument's object, or the file's. Raises BadParameter."""
    if text == "-" or text.startswith("@"):
        return read_object(Path(text.removeprefix("@")))
    try:
        return read_json(text)
    except MalformedJson as error:
        raise typer.BadParameter(f"the payload is {error}") from None
