"""`hermod partials`: what visitors have entered so far. `hermod journey`: one visitor's way as one list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Final

import orjson
import typer

from hermod.contracts.forms.forms import PartialView
from hermod.contracts.journeys import JourneyView
from starter.cli.output import Json, complain, print_facts, print_json, print_table, say
from starter.cli.session import TenantName, client, command
from starter.forms.journeys import journey
from starter.forms.partials import partial

app: Final = typer.Typer(help="Forms that visitors have not sent yet.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    root.add_typer(app, name="partials")
    root.command("journey")(show_journey)


@app.command("show")
@command
async def show(
    form: Annotated[str, typer.Argument(metavar="FORM", help="The form's id.")],
    session: Annotated[str, typer.Argument(metavar="SESSION", help="The visitor's session.")],
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Show what a visitor has entered so far, and what became of it.

    \b
    Example:
      hermod partials show checkout 3f9a1c07d2e84b65
    """
    async with client(tenant) as hermod:
        view = await partial(hermod, form, session)
    if as_json:
        print_json(view)
    else:
        _print(view)


@command
async def show_journey(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="A contact, or a visitor's session.")],
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Tell what somebody did with forms, and what they were told, from the first change to the last receipt.

    \b
    Examples:
      hermod journey customer-42
      hermod journey 3f9a1c07d2e84b65 --json
    """
    async with client(tenant) as hermod:
        view = await journey(hermod, subject)
    if as_json:
        print_json(view)
        return
    if view.truncated:
        complain("older steps are left out")
    print_table(("at", "after", "step", "form", "reference", "detail"), _lines(view), empty="no steps")


def _print(view: PartialView) -> None:
    print_facts(
        [
            ("form", view.form),
            ("session", view.session),
            ("status", view.status),
            ("revision", view.revision),
            ("contact", view.contact),
            ("submission", view.submission),
            ("begun", view.created_at),
            ("changed", view.updated_at),
            ("abandoned", view.abandoned_at),
            ("converted", view.converted_at),
        ]
    )
    say("")
    if view.data is None:
        say("what was entered is no longer kept")
    else:
        say(orjson.dumps(view.data, option=orjson.OPT_INDENT_2).decode())


def _lines(view: JourneyView) -> Iterator[tuple[object, ...]]:
    before: datetime | None = None
    for step in view.steps:
        detail = ", ".join(f"{name} {value}" for name, value in step.detail.items())
        yield step.at, _after(step.at, before), step.kind, step.form, step.reference, detail
        before = step.at


def _after(at: datetime, before: datetime | None) -> str | None:
    """How much later than the step before, in its largest unit; nothing for less than a second."""
    if before is None or at - before < timedelta(seconds=1):
        return None
    seconds = (at - before).total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"+{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"+{seconds:.0f} s"
