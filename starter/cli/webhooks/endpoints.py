"""`hermod webhooks endpoints`: where events go, with which secrets, and how they fare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from hermod.contracts.errors import InvalidInput
from hermod.contracts.webhooks.deliveries import (
    DeliveryAttemptView,
    EndpointSettings,
    EndpointView,
    Ordering,
    Rotation,
    WhenExhausted,
)
from hermod.ports.webhooks.ledger import SUCCESS
from starter.cli.json_files import read_object
from starter.cli.notifications.waits import retry_of, shown
from starter.cli.output import Json, hint, print_facts, print_json, print_list, print_table, say
from starter.cli.session import FAILED, TenantName, client, command
from starter.cli.webhooks import payload_filters
from starter.cli.words import pair
from starter.validation_errors import field_errors
from starter.webhooks.endpoints import (
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    enable_endpoint,
    list_endpoints,
    rotate_secret,
    show_endpoint,
    try_endpoint,
)

PAGE: Final = 200
_NONE: Final = "none"

app: Final = typer.Typer(help="Where events go.", no_args_is_help=True)

EndpointId = Annotated[str, typer.Argument(metavar="ID", help="whe_…, as the list shows it.")]
EventTypes = Annotated[
    list[str] | None, typer.Option("--event-type", metavar="TYPE", help="order.paid, order.* or *; give several.")
]
Filter = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="CONDITION",
        help="Only such payloads: data.status=paid, data.total>=50, data.coupon, !data.test; several must all hold.",
    ),
]
Description = Annotated[str | None, typer.Option(help="A note for people.")]
Retry = Annotated[
    str | None,
    typer.Option(help="webhook, webhook-fast, webhook-standard, or waits in seconds, like 30,120,600."),
]
Timeout = Annotated[str | None, typer.Option(metavar="SECONDS", help="For a whole request (default: 15; fast: 10).")]
Rate = Annotated[str | None, typer.Option(metavar="NUMBER", help="Requests a second at most (default: no limit).")]
Concurrency = Annotated[
    int | None, typer.Option("--max-concurrency", help="Requests under way at once at most (default: 10).")
]
Order = Annotated[Ordering | None, typer.Option("--ordering", help="by_key: one after another, by their ordering key.")]
Exhausted = Annotated[
    WhenExhausted | None,
    typer.Option("--when-exhausted", help="What becomes of those behind one that fails, where order is kept."),
]
SkipAfter = Annotated[int | None, typer.Option(help="Attempts, with --when-exhausted skip.")]
Header = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE", help="Sent with every request. Other users of this machine may see it in its processes."
    ),
]
Headers = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="All of them, as a JSON object; - for standard input.", allow_dash=True),
]
Asymmetric = Annotated[
    bool | None,
    typer.Option("--asymmetric/--symmetric", help="Sign with ed25519 as well, for receivers without secret."),
]


@app.command("create")
@command
async def create(
    url: Annotated[str, typer.Argument(help="https, at a public address.")],
    event_type: EventTypes = None,
    filter_: Filter = None,
    description: Description = None,
    retry: Retry = None,
    timeout: Timeout = None,
    rate: Rate = None,
    max_concurrency: Concurrency = None,
    ordering: Order = None,
    when_exhausted: Exhausted = None,
    skip_after: SkipAfter = None,
    header: Header = None,
    headers: Headers = None,
    asymmetric: Asymmetric = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Park what comes, until it is enabled.")] = False,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Create an endpoint. Its secret is printed this once.

    \b
    Examples:
      hermod webhooks endpoints create https://shop.example.com/webhooks
      hermod webhooks endpoints create https://erp.example.com/in --event-type "order.*" \\
             --ordering by_key --retry 30,120,600 --header authorization="Bearer t0ken"
      hermod webhooks endpoints create https://crm.example.com/in --filter data.status=paid --filter "data.total>=50"
    """
    given = _settings(event_type, filter_, description, retry, timeout, rate, max_concurrency, ordering, when_exhausted,
                      skip_after, header, headers, asymmetric)  # fmt: skip
    given |= {"url": url} | ({"enabled": False} if disabled else {})
    try:
        asked = EndpointSettings.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None
    async with client(tenant) as hermod:
        made = await create_endpoint(hermod, asked)
    if as_json:
        print_json(made)
    else:
        print_facts((("id", made.id), ("secret", made.secret), ("public key", made.public_key)))


@app.command("list")
@command
async def list_all(
    limit: Annotated[int, typer.Option(min=1, max=PAGE)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last page ended.")] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """List endpoints, the newest first, and how they fared in the last hour."""
    async with client(tenant) as hermod:
        page = await list_endpoints(hermod, cursor=cursor, limit=limit)
    if as_json:
        print_list(page.items, page.next_cursor)
        return
    rows = [
        (
            *(one.id, one.url, " ".join(one.event_types), one.enabled, one.disabled_reason, one.paused_until),
            *(one.health.succeeded, one.health.failed, one.parked),
        )
        for one in page.items
    ]
    columns = ("id", "url", "events", "enabled", "reason", "paused until", "succeeded", "failed", "parked")
    print_table(columns, rows, empty="no endpoints yet; `hermod webhooks endpoints create --help` shows how to add one")
    if page.next_cursor is not None:
        hint(f"more: hermod webhooks endpoints list --cursor {page.next_cursor}")


@app.command("show")
@command
async def show(endpoint: EndpointId, tenant: TenantName = None, as_json: Json = False) -> None:
    """Show an endpoint: its settings, its health, and how much waits for it."""
    async with client(tenant) as hermod:
        found = await show_endpoint(hermod, endpoint)
    _print(found, as_json)


@app.command("update")
@command
async def update(
    endpoint: EndpointId,
    url: Annotated[str | None, typer.Option(help="Another URL; what trouble the old one had is forgotten.")] = None,
    event_type: EventTypes = None,
    filter_: Filter = None,
    description: Description = None,
    retry: Retry = None,
    timeout: Timeout = None,
    rate: Rate = None,
    max_concurrency: Concurrency = None,
    ordering: Order = None,
    when_exhausted: Exhausted = None,
    skip_after: SkipAfter = None,
    header: Header = None,
    headers: Headers = None,
    remove_header: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Sent no more.")] = None,
    asymmetric: Asymmetric = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="--disable parks what comes.")] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Change what is named, and nothing else. `none` takes away a filter, a description, a timeout or a rate.

    \b
    Examples:
      hermod webhooks endpoints update whe_019aa1c2d3e40123456789abcdef --event-type "order.*" --rate none
      hermod webhooks endpoints update whe_019aa1c2d3e40123456789abcdef --disable
    """
    given = _settings(event_type, filter_, description, retry, timeout, rate, max_concurrency, ordering, when_exhausted,
                      skip_after, header, headers, asymmetric)  # fmt: skip
    given |= {name: value for name, value in (("url", url), ("enabled", enabled)) if value is not None}
    given |= {name: None for name in ("description", "timeout_seconds", "rate_per_second") if given.get(name) == _NONE}
    if filter_ == [_NONE]:
        given["filter"] = []
    if remove_header:
        given["headers"] = given.get("headers", {}) | dict.fromkeys(remove_header)
    if not given:
        raise typer.BadParameter("say what to change; --help shows what there is")
    async with client(tenant) as hermod:
        changed = await change_endpoint(hermod, endpoint, given)
    _print(changed, as_json)


@app.command("delete")
@command
async def delete(endpoint: EndpointId, tenant: TenantName = None, as_json: Json = False) -> None:
    """Delete an endpoint; what is still open for it is cancelled.

    \b
    Example:
      hermod webhooks endpoints delete whe_019aa1c2d3e40123456789abcdef
    """
    async with client(tenant) as hermod:
        await delete_endpoint(hermod, endpoint)
    if as_json:
        print_json({"id": endpoint, "deleted": True})
    else:
        say(f"{endpoint} deleted")


@app.command("rotate")
@command
async def rotate(
    endpoint: EndpointId,
    overlap_hours: Annotated[
        float, typer.Option(help="So long the old secrets sign as well; 0 ends them at once.")
    ] = 24,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Give an endpoint a new secret, which is printed this once.

    \b
    Example:
      hermod webhooks endpoints rotate whe_019aa1c2d3e40123456789abcdef --overlap-hours 72
    """
    try:
        asked = Rotation(overlap_hours=overlap_hours)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, {"overlap_hours": overlap_hours})) from None
    async with client(tenant) as hermod:
        rotated = await rotate_secret(hermod, endpoint, asked)
    if as_json:
        print_json(rotated)
    else:
        print_facts((("secret", rotated.secret), ("old ones until", rotated.old_valid_until)))


@app.command("enable")
@command
async def enable(endpoint: EndpointId, tenant: TenantName = None, as_json: Json = False) -> None:
    """Enable an endpoint, and forget its pauses and failures. What was parked waits for `hermod webhooks replay`.

    \b
    Example:
      hermod webhooks endpoints enable whe_019aa1c2d3e40123456789abcdef
    """
    async with client(tenant) as hermod:
        enabled = await enable_endpoint(hermod, endpoint)
    _print(enabled, as_json)


@app.command("test")
@command
async def try_out(endpoint: EndpointId, tenant: TenantName = None, as_json: Json = False) -> None:
    """Send a signed `hermod.test` event right now, and show what came of it; exit code 1 where it was no success.

    \b
    Example:
      hermod webhooks endpoints test whe_019aa1c2d3e40123456789abcdef
    """
    async with client(tenant) as hermod:
        tried = await try_endpoint(hermod, endpoint)
    if as_json:
        print_json(tried)
    else:
        _print_attempt(tried)
    if tried.outcome != SUCCESS:
        raise typer.Exit(FAILED)


def _settings(
    event_types: list[str] | None,
    filter_: list[str] | None,
    description: str | None,
    retry: str | None,
    timeout: str | None,
    rate: str | None,
    max_concurrency: int | None,
    ordering: Ordering | None,
    when_exhausted: WhenExhausted | None,
    skip_after: int | None,
    header: list[str] | None,
    headers: Path | None,
    asymmetric: bool | None,
) -> dict[str, Any]:
    """The options that were given, as the API names them."""
    given: dict[str, Any] = {
        "event_types": event_types,
        "filter": [payload_filters.condition(one) for one in filter_ or [] if one != _NONE],
        "description": description,
        "retry": retry_of(retry) if retry is not None else None,
        "timeout_seconds": _number(timeout),
        "rate_per_second": _number(rate),
        "max_concurrency": max_concurrency,
        "ordering": ordering,
        "when_exhausted": when_exhausted,
        "skip_after": skip_after,
        "asymmetric": asymmetric,
    }
    if header or headers:
        given["headers"] = (read_object(headers) if headers else {}) | dict(pair("header", one) for one in header or [])
    return {name: value for name, value in given.items() if value is not None and value != []}


def _number(text: str | None) -> object:
    """What is no number stays as it is: the contract says what it should be."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _print(endpoint: EndpointView, as_json: bool) -> None:
    if as_json:
        print_json(endpoint)
        return
    one, health = endpoint, endpoint.health
    print_facts(
        (
            ("id", one.id),
            ("url", one.url),
            ("events", " ".join(one.event_types)),
            ("filter", payload_filters.shown(one.filter)),
            ("description", one.description),
            ("retry", shown(one.retry)),
            ("timeout", f"{one.timeout_seconds:g} s"),
            ("rate", one.rate_per_second),
            ("concurrency", f"{one.concurrency} of {one.max_concurrency}"),
            ("ordering", one.ordering),
            ("when exhausted", one.when_exhausted),
            ("skip after", one.skip_after),
            ("headers", " ".join(one.headers) or None),
            ("public key", one.public_key),
            ("enabled", one.enabled),
            ("disabled because", one.disabled_reason),
            ("disabled at", one.disabled_at),
            ("paused until", one.paused_until),
            ("last hour", f"{health.succeeded} succeeded, {health.failed} failed"),
            ("failing since", health.failing_since),
            ("parked", one.parked),
            ("created", one.created_at),
            ("updated", one.updated_at),
        )
    )


def _print_attempt(attempt: DeliveryAttemptView) -> None:
    phases = attempt.phases.model_dump()
    print_facts(
        (
            ("outcome", attempt.outcome),
            ("status", attempt.status_code),
            ("error", attempt.error),
            ("address", attempt.address),
            ("duration", f"{attempt.duration_ms} ms"),
            ("phases", ", ".join(f"{name} {ms:g} ms" for name, ms in phases.items() if ms is not None) or None),
            ("answer", " ".join((attempt.response_body or "").split())[:500] or None),
        )
    )
