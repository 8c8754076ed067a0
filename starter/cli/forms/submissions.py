"""`hermod submissions`: what visitors have submitted, and the dead letters and spam among it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from hermod.contracts.forms.forms import SubmissionStatus, SubmissionSummary
from starter.cli.moments import past
from starter.cli.moves import DryRun, ErrorCode, Everything, Since, Until, Yes, move_named_or_all
from starter.cli.output import Json, hint, print_facts, print_json, print_list, print_table, say
from starter.cli.session import TenantName, client, command
from starter.forms.submissions import discard_submission, release_submission, retry_submission, submission, submissions

app: Final = typer.Typer(
    help="Submissions of forms: follow them, retry dead letters, and what is no spam.", no_args_is_help=True
)

SubmissionIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="sub_…, as the list shows them.")]
OnlyForm = Annotated[str | None, typer.Option("--form", help="Only of this form.")]
SubmissionId = Annotated[str, typer.Argument(metavar="ID", help="sub_…, as the list shows it.")]


@app.command("list")
@command
async def list_submissions(
    form: OnlyForm = None,
    status: Annotated[SubmissionStatus | None, typer.Option(help="The dead letters are `failed`.")] = None,
    error_code: ErrorCode = None,
    discarded: Annotated[
        bool | None, typer.Option("--discarded/--not-discarded", help="Only those that were discarded, or the others.")
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last page ended.")] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """List submissions, newest first."""
    async with client(tenant) as hermod:
        page = await submissions(
            hermod,
            form=form,
            status=status,
            error_code=error_code,
            discarded=discarded,
            since=past(since),
            until=past(until),
            cursor=cursor,
            limit=limit,
        )
    if as_json:
        print_list(page.items, page.next_cursor)
        return
    rows = [
        (one.id, one.form, one.status.value, one.payment_status and one.payment_status.value, one.created_at)
        for one in page.items
    ]
    print_table(("id", "form", "status", "payment", "submitted"), rows, empty="no submissions")
    if page.next_cursor is not None:
        hint(f"more: hermod submissions list --cursor {page.next_cursor}")


@app.command("show")
@command
async def show_submission(own: SubmissionId, tenant: TenantName = None, as_json: Json = False) -> None:
    """Show what was entered, and what became of it."""
    async with client(tenant) as hermod:
        found = await submission(hermod, own)
    if as_json:
        print_json(found)
        return
    payment = found.payment
    print_facts(
        [
            ("id", found.id),
            ("form", f"{found.form}, revision {found.form_revision}"),
            ("status", found.status.value),
            ("discarded", found.discarded_at),
            ("caught by", found.caught_by and f"{found.caught_by.field}: {found.caught_by.value}"),
            ("session", found.session),
            ("contact", found.contact),
            ("payment", payment and payment.status.value),
            ("expires", payment and payment.expires_at),
            ("at the backend", found.backend_id),
            ("error", found.error),
            ("submitted", found.created_at),
            ("finished", found.finished_at),
            ("workflow", found.workflow_id),
            *((f"data.{name}", value) for name, value in (found.data or {}).items()),
            *((f"metadata.{name}", value) for name, value in found.metadata.items()),
        ]
    )


@app.command("retry")
@command
async def retry(
    which: SubmissionIds = None,
    everything: Everything = False,
    form: OnlyForm = None,
    error_code: ErrorCode = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Begin dead letters again, at the step that failed."""
    await move_named_or_all(
        "retry",
        "submissions",
        which,
        _filter(form, error_code, since, until),
        retry_submission,
        everything=everything,
        dry_run=dry_run,
        yes=yes,
        tenant=tenant,
        as_json=as_json,
    )


@app.command("discard")
@command
async def discard(
    which: SubmissionIds = None,
    everything: Everything = False,
    form: OnlyForm = None,
    error_code: ErrorCode = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Take dead letters off the list by status. Their records stay."""
    await move_named_or_all(
        "discard",
        "submissions",
        which,
        _filter(form, error_code, since, until),
        discard_submission,
        everything=everything,
        dry_run=dry_run,
        yes=yes,
        tenant=tenant,
        as_json=as_json,
    )


@app.command("not-spam")
@command
async def not_spam(own: SubmissionId, tenant: TenantName = None, as_json: Json = False) -> None:
    """Say that a submission which the honeypot caught is no spam. It is processed as if it came now."""
    async with client(tenant) as hermod:
        moved = await release_submission(hermod, own)
    _print_moved(moved, as_json)


def _filter(form: str | None, error_code: str | None, since: str | None, until: str | None) -> dict[str, Any]:
    return {"form": form, "error_code": error_code, "since": past(since), "until": past(until)}


def _print_moved(moved: SubmissionSummary, as_json: bool) -> None:
    if as_json:
        print_json(moved)
    else:
        say(f"{moved.id} {moved.status.value}")
