"""`hermod tenants`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.retries import RetryDefaults
from hermod.contracts.tenants.limits import LEAST_WEIGHT, MOST_WEIGHT, Limits
from hermod.contracts.tenants.retention import Retention
from hermod.contracts.tenants.tenants import Owner
from hermod.storage.operations.retention import TenantRetention
from starter.cli.notifications.waits import retry_of, shown
from starter.cli.output import Json, hint, print_facts, print_json, print_list, print_table, say
from starter.cli.session import ACTOR, command, storage
from starter.cli.words import pair
from starter.validation_errors import field_errors


class Kept(StrEnum):
    MESSAGES = "messages"
    WEBHOOK_DELIVERIES = "webhook_deliveries"


tenants: Final = typer.Typer(help="Tenants: everything belongs to one.", no_args_is_help=True)


@tenants.command("create")
@command
async def create_tenant(
    tenant: Annotated[str, typer.Argument(help="Its id: lower-case letters, digits, - and _.")],
    name: Annotated[str, typer.Option(help="A name for people (default: its id).")] = "",
    as_json: Json = False,
) -> None:
    """Create a tenant.

    \b
    Example:
      hermod tenants create shop --name "The Shop"
    """
    async with storage() as opened:
        created = await opened.tenants.create(tenant, name or tenant, datetime.now(UTC))
    if as_json:
        print_json(created)
        return
    say(f"created {created.id}")
    hint(f"next: hermod keys create --tenant {created.id}, hermod accounts put --tenant {created.id} …")


@tenants.command("list")
@command
async def list_tenants(as_json: Json = False) -> None:
    """List the tenants."""
    async with storage() as opened:
        found = await opened.tenants.all()
    if as_json:
        print_list(found)
        return
    rows = [(one.id, one.name, one.weight, one.created_at) for one in found]
    print_table(("id", "name", "weight", "created"), rows, empty="no tenants yet; `hermod tenants create NAME`")


@tenants.command("delete")
@command
async def delete_tenant(
    tenant: Annotated[str, typer.Argument(help="Its id.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a tenant and all that it has. Refused while it has accounts, keys, endpoints, forms or open records.

    \b
    Example:
      hermod tenants delete shop
    """
    async with storage() as opened:
        await opened.tenants.get(tenant)
        if not yes:
            typer.confirm(f"Delete {tenant}, with all its records?", abort=True, err=True)
        await opened.tenants.delete(tenant, actor=ACTOR, now=datetime.now(UTC))
    if as_json:
        print_json({"tenant": tenant, "deleted": True})
        return
    say(f"deleted {tenant}; its records go within the hour")


@tenants.command("contents")
@command
async def keep_contents(
    tenant: Annotated[str, typer.Argument(help="Its id.")],
    encrypt: Annotated[
        bool | None, typer.Option("--encrypt/--no-encrypt", help="Whether new contents are stored encrypted.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=0, max=36_500, help="Keep contents so long after a message's end.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show or change how a tenant's contents are kept. The record of a message stays when its content is dropped.

    \b
    Example:
      hermod tenants contents shop --encrypt --days 7
    """
    async with storage() as opened:
        policy = await opened.contents.policy(tenant)
        if encrypt is not None or days is not None:
            policy = await opened.contents.set_policy(
                tenant,
                encrypts=policy.encrypts if encrypt is None else encrypt,
                days=policy.days if days is None else days,
                actor=ACTOR,
                now=datetime.now(UTC),
            )
    if as_json:
        print_json(policy)
        return
    print_facts([("tenant", policy.tenant), ("encrypted", policy.encrypts), ("kept for", f"{policy.days} days")])


@tenants.command("retention")
@command
async def keep_records(
    tenant: Annotated[str, typer.Argument(help="Its id.")],
    of: Annotated[Kept, typer.Option(help="Of which records.")] = Kept.MESSAGES,
    completed: Annotated[str | None, typer.Option(metavar="AGE", help="Keep what was sent so long: 24h, 7d.")] = None,
    completed_count: Annotated[int | None, typer.Option(min=0, help="And no more than so many.")] = None,
    failed: Annotated[str | None, typer.Option(metavar="AGE", help="Keep dead letters so long.")] = None,
    failed_count: Annotated[int | None, typer.Option(min=0, help="And no more than so many.")] = None,
    default: Annotated[bool, typer.Option("--default", help="Forget what was said of them before.")] = False,
    as_json: Json = False,
) -> None:
    """Show or change how long and how many of a tenant's records are kept. What is not named stays as it is.

    \b
    Examples:
      hermod tenants retention shop --completed 24h --completed-count 100 --failed 7d --failed-count 50
      hermod tenants retention shop --of webhook_deliveries --completed 7d
    """
    said = {
        "completed": {"age": completed, "count": completed_count},
        "failed": {"age": failed, "count": failed_count},
    }
    async with storage() as opened:
        stored = TenantRetention(opened.database)
        retention = await stored.get(tenant)
        if default or any(value is not None for keep in said.values() for value in keep.values()):
            retention = await stored.put(
                tenant, _retention(retention, of, said, default), actor=ACTOR, now=datetime.now(UTC)
            )
    if as_json:
        print_json(retention)
        return
    rows = [
        (what.value, end, keep.age or "default", "no bound" if keep.count is None else keep.count)
        for what in Kept
        for end, keep in getattr(retention, what.value)
    ]
    print_table(("records", "that", "for", "at most"), rows, empty="")


def _retention(stored: Retention, of: Kept, said: Mapping[str, Mapping[str, object]], default: bool) -> Retention:
    """Raises InvalidInput."""
    before = {} if default else getattr(stored, of.value).model_dump()
    kept = {
        end: before.get(end, {}) | {name: value for name, value in keep.items() if value is not None}
        for end, keep in said.items()
    }
    given = stored.model_dump() | {of.value: kept}
    try:
        return Retention.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None


@tenants.command("limit")
@command
async def limit_tenant(
    tenant: Annotated[str, typer.Argument(help="Its id.")],
    rate: Annotated[float | None, typer.Option(help="Messages a second over all channels and accounts.")] = None,
    domain: Annotated[
        list[str] | None, typer.Option(metavar="DOMAIN=RATE", help="Emails a second to a recipient domain.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="DOMAIN|rate", help="Lift the limit to a domain, or the rate.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show or change how fast a tenant may send. What is not named stays as it is.

    \b
    Examples:
      hermod tenants limit shop --rate 100 --domain gmail.com=20
      hermod tenants limit shop --remove gmail.com --remove rate
    """
    async with storage() as opened:
        limits = await opened.limits.get(tenant)
        if rate is not None or domain or remove:
            limits = _changed(limits, rate, dict(map(_domain_rate, domain or [])), set(remove or []))
            limits = await opened.limits.put(tenant, limits, actor=ACTOR, now=datetime.now(UTC))
    if as_json:
        print_json(limits)
        return
    rows: list[tuple[str, object]] = [("tenant", tenant), ("rate", limits.rate_per_second or "no limit")]
    print_facts([*rows, *((f"to {name}", each) for name, each in limits.domains.items())])


@tenants.command("retry")
@command
async def default_retry(
    tenant: Annotated[str, typer.Argument(help="Its id.")],
    default: Annotated[
        str | None, typer.Option(metavar="WAITS", help="For every channel without its own: sms, or 2s,10s,1m.")
    ] = None,
    channel: Annotated[list[str] | None, typer.Option(metavar="CHANNEL=WAITS", help="For one channel.")] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="CHANNEL|default", help="As if nothing had been said of it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show or change what counts for messages that name no --retry. What is not named stays as it is.

    An account's own counts before these: `hermod accounts put --retry`.

    \b
    Examples:
      hermod tenants retry shop --default 2s,10s,1m --channel sms=fallback
      hermod tenants retry shop --remove sms
    """
    async with storage() as opened:
        known = await opened.retry_defaults.get(tenant)
        if default is not None or channel or remove:
            named = dict(pair("channel", one) for one in channel or [])
            changed = _changed_retry(known, default, named, remove or [])
            known = await opened.retry_defaults.put(tenant, changed, actor=ACTOR, now=datetime.now(UTC))
    if as_json:
        print_json(known)
        return
    rows = [(name.value, shown(each)) for name, each in known.channels.items()]
    print_facts([("tenant", tenant), ("default", shown(known.default) or "as built in"), *rows])


@tenants.command("owner")
@command
async def name_owner(
    tenant: Annotated[str, typer.Argument(help="Its id.")],
    email: Annotated[str | None, typer.Argument(help="Who is told what needs a person.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Tell nobody any more.")] = False,
    as_json: Json = False,
) -> None:
    """Show or change a tenant's owner, who gets an email when a webhook endpoint is disabled.

    \b
    Examples:
      hermod tenants owner shop ops@example.com
      hermod tenants owner shop --remove
    """
    if email is not None and remove:
        raise typer.BadParameter("give an address or --remove")
    async with storage() as opened:
        if email is not None or remove:
            known = await opened.tenants.set_owner(tenant, _owner(email), actor=ACTOR, now=datetime.now(UTC))
        else:
            known = await opened.tenants.get(tenant)
    if as_json:
        print_json({"tenant": tenant, "owner_email": known.owner_email})
        return
    print_facts([("tenant", tenant), ("owner", known.owner_email or "nobody")])


@tenants.command("weight")
@command
async def weigh_tenant(
    tenant: Annotated[str, typer.Argument(help="Its id.")],
    weight: Annotated[float, typer.Argument(min=LEAST_WEIGHT, max=MOST_WEIGHT, help="1 is usual.")],
    as_json: Json = False,
) -> None:
    """Change a tenant's share of what it uses together with others: a busy lane, an account's rate.

    \b
    Example:
      hermod tenants weight shop 3
    """
    async with storage() as opened:
        await opened.limits.weigh(tenant, weight, actor=ACTOR, now=datetime.now(UTC))
    if as_json:
        print_json({"tenant": tenant, "weight": weight})
        return
    say(f"{tenant} counts {weight:g}")


def _changed(limits: Limits, rate: float | None, domains: dict[str, float], removed: set[str]) -> Limits:
    """Raises InvalidInput."""
    given = {
        "rate_per_second": rate if rate is not None else None if "rate" in removed else limits.rate_per_second,
        "domains": {name: each for name, each in limits.domains.items() if name not in removed} | domains,
    }
    try:
        return Limits.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None


def _changed_retry(
    known: RetryDefaults, default: str | None, channels: dict[str, str], removed: list[str]
) -> RetryDefaults:
    """Raises InvalidInput, and BadParameter where nothing is there to be removed."""
    given: dict[str, Any] = {"default": known.default, **{name.value: each for name, each in known.channels.items()}}
    for name in removed:
        if given.pop(name, None) is None:
            raise typer.BadParameter(f"there is no default for {name}", param_hint="--remove")
    given |= {name.strip(): retry_of(each) for name, each in channels.items()}
    if default is not None:
        given["default"] = retry_of(default)
    asked = {"default": given.pop("default", None), "channels": given}
    try:
        return RetryDefaults.model_validate(asked)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, asked)) from None


def _owner(email: str | None) -> str | None:
    """Raises InvalidInput."""
    try:
        return Owner(email=email).email if email is not None else None
    except ValidationError as error:
        raise InvalidInput(field_errors(error, {"email": email})) from None


def _domain_rate(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip().lower(), float(value)
    except ValueError:
        raise typer.BadParameter("write --domain gmail.com=20") from None
