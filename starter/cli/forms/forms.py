"""`hermod forms`: definitions of forms, and `hermod submit`: what a visitor enters into one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from starter.cli.json_files import read_object
from starter.cli.notifications.batch_files import assignments
from starter.cli.options import Metadata
from starter.cli.output import Json, hint, print_facts, print_json, print_list, print_table, say
from starter.cli.session import TenantName, client, command
from starter.forms.forms import delete_form, form, forms, put_form
from starter.forms.submissions import submit
from starter.notifications.parsing import MalformedJson, read_json

app: Final = typer.Typer(help="Forms: schemas, spam guards, payments, and what they tell.", no_args_is_help=True)

FormName = Annotated[str, typer.Argument(metavar="FORM", help="Lower-case letters, digits, - and _.")]
Cursor = Annotated[str | None, typer.Option(help="Go on where the last page ended.")]


def add_to(root: typer.Typer) -> None:
    root.command("submit")(submit_form)


@command
async def submit_form(
    name: FormName,
    data: Annotated[str, typer.Argument(metavar="DATA", help="A JSON object, @FILE with one, or - for stdin.")],
    idempotency_key: Annotated[str | None, typer.Option(help="The same key again stores nothing again.")] = None,
    session: Annotated[
        str | None, typer.Option(help="The visitor's session, of the partial that it completes.")
    ] = None,
    contact: Annotated[str | None, typer.Option(help="Your own id of the person; never an address.")] = None,
    metadata: Metadata = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Submit a form.

    It is stored when this returns, and processed whatever happens from then on.

    \b
    Examples:
      hermod submit signup '{"email": "ada@example.com"}'
      hermod submit signup @entered.json --idempotency-key signup:42 --metadata campaign=may
    """
    given: dict[str, Any] = {"data": _object(data), "session": session, "contact": contact}
    try:
        given["metadata"] = assignments(metadata or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--metadata") from None
    async with client(tenant) as hermod:
        receipt = await submit(hermod, name, given, idempotency_key=idempotency_key)
    if as_json:
        print_json(receipt)
        return
    say(f"{receipt.id} {receipt.status.value}")
    hint(f"follow it: hermod submissions show {receipt.id}")


@app.command("put")
@command
async def put_definition(
    name: FormName,
    file: Annotated[Path, typer.Argument(help="The form as the API takes it, in JSON; - for standard input.")],
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Create or change a form.

    \b
    Example:
      hermod forms put signup signup.json
    """
    given = read_object(file)
    async with client(tenant) as hermod:
        put = await put_form(hermod, name, given)
    if as_json:
        print_json(put.view)
        return
    said = f"{name} revision {put.view.revision}"
    say(f"stored {said}" if put.changed else f"{said} says the same already")


@app.command("list")
@command
async def list_forms(
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Cursor = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """List the forms."""
    async with client(tenant) as hermod:
        page = await forms(hermod, cursor=cursor, limit=limit)
    if as_json:
        print_list(page.items, page.next_cursor)
        return
    rows = [(one.id, one.name, one.revision, one.asks_for_payment, one.updated_at) for one in page.items]
    columns = ("form", "name", "revision", "payment", "updated")
    print_table(columns, rows, empty="no forms yet; `hermod forms put --help` shows how to add one")
    if page.next_cursor is not None:
        hint(f"more: hermod forms list --cursor {page.next_cursor}")


@app.command("show")
@command
async def show_form(name: FormName, tenant: TenantName = None, as_json: Json = False) -> None:
    """Show a form. With --json, as `put` takes it and more."""
    async with client(tenant) as hermod:
        found = await form(hermod, name)
    if as_json:
        print_json(found)
        return
    payment = found.payment
    told = [f"{one.channel.value} on {one.on.value}" for one in found.on_submit.notifications]
    print_facts(
        [
            ("form", found.id),
            ("name", found.name),
            ("revision", found.revision),
            ("fields", ", ".join(map(str, found.schema_.get("properties", ())))),
            ("payment", f"within {payment.expires_in}" if payment is not None and payment.required else None),
            ("webhooks", found.on_submit.webhooks),
            ("notifications", ", ".join(told) or None),
            ("abandoned after", found.partials.abandon_after),
            ("honeypot", found.spam.honeypot),
            ("per address and hour", found.spam.per_address_per_hour),
            ("updated", found.updated_at),
        ]
    )


@app.command("delete")
@command
async def delete_definition(name: FormName, tenant: TenantName = None, as_json: Json = False) -> None:
    """Take no more submissions. Those that there are stay, and go on."""
    async with client(tenant) as hermod:
        await delete_form(hermod, name)
    if as_json:
        print_json({"id": name, "deleted": True})
    else:
        say(f"deleted {name}")


def _object(text: str) -> Any:
    """The argument's object, or the file's. Raises BadParameter."""
    if text == "-" or text.startswith("@"):
        return read_object(Path(text.removeprefix("@")))
    try:
        return read_json(text)
    except MalformedJson as error:
        raise typer.BadParameter(f"the data are {error}") from None
