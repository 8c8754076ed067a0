"""`hermod schedules`: the housekeeping that Temporal starts by the clock."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final

import typer

from hermod.contracts.errors import NotFound
from starter.cli.output import Json, print_json, print_list, print_table, say
from starter.cli.session import command, temporal
from starter.temporal import schedules

app: Final = typer.Typer(help="The housekeeping schedules.", no_args_is_help=True)
_DONE: Final = {"pause": "is paused", "resume": "runs at its usual times again", "run": "was started"}
Name = Annotated[str, typer.Argument(help="As `hermod schedules list` shows it.")]


@app.command("apply")
@command
async def apply_schedules(as_json: Json = False) -> None:
    """Create the missing schedules and bring the others up to date. Every worker does so when it starts."""
    await schedules.apply(await temporal())
    names = [housekeeping.name for housekeeping in schedules.SCHEDULES]
    if as_json:
        print_json({"applied": names})
    else:
        say(f"applied {', '.join(names)}")


@app.command("list")
@command
async def list_schedules(as_json: Json = False) -> None:
    """List the schedules, with their last and their next run."""
    found = [one async for one in schedules.listed(await temporal())]
    if as_json:
        print_list([asdict(one) for one in found])
        return
    rows = [(one.name, one.paused, one.runs, one.last_run, one.next_run, one.purpose) for one in found]
    print_table(("name", "paused", "runs", "last run", "next run", "purpose"), rows, empty="there are no schedules")


@app.command("pause")
@command
async def pause_schedule(
    name: Name,
    note: Annotated[str, typer.Option(help="Why; the list in Temporal's Web UI shows it.")] = "",
    as_json: Json = False,
) -> None:
    """Pause a schedule. It stays paused until it is resumed, whatever is restarted.

    \b
    Example:
      hermod schedules pause sweep-stranded --note "database move"
    """
    await _change(name, "pause", note, as_json)


@app.command("resume")
@command
async def resume_schedule(name: Name, as_json: Json = False) -> None:
    """Resume a paused schedule."""
    await _change(name, "resume", "", as_json)


@app.command("run")
@command
async def run_schedule(name: Name, as_json: Json = False) -> None:
    """Run a schedule now, besides its usual times."""
    await _change(name, "run", "", as_json)


async def _change(name: str, action: str, note: str, as_json: bool) -> None:
    known = [housekeeping.name for housekeeping in schedules.SCHEDULES]
    if name not in known:
        raise NotFound(f"there is no schedule {name}; there are {', '.join(known)}")
    await schedules.change(await temporal(), name, action, note)
    if as_json:
        print_json({"name": name, "action": action})
    else:
        say(f"{name} {_DONE[action]}")
