"""`hermod providers`: what there is to send with, from the adapters' own records. Also writes docs/providers.md."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from hermod.channels.kit import ProviderDefinition
from hermod.channels.registry import KITS
from hermod.contracts.notifications.content import Channel
from starter.cli.output import Json, print_list, print_table, say

_COLUMNS: Final = ("provider", "channels", "repeat is safe", "Retry-After", "a request", "default rate", "reports")
_FOREWORD: Final = """# Providers

Written by `make docs` from the adapters' own records (`hermod providers` shows the same).

- **Repeat is safe**: the vendor recognises a repeated request by our message id, so an unknown outcome is simply sent
  again. Elsewhere the message's guarantee decides.
- **A request**: how many messages the vendor takes in one; a batch of first attempts is sent that way.
- **Default rate**: for an account without `rate_per_second`, in messages a second (in requests where it says so).
- **Reports**: how deliveries, bounces and complaints come back. `checked call`: at
  `/ingress/receipts/{provider}/{tenant}/{account}`, its signature (or the secret, where a vendor signs nothing) checked
  before anything is stored; `asked for`: we poll.
"""


def add_to(root: typer.Typer) -> None:
    root.command("providers")(providers)


def providers(
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a page for docs/providers.md.")] = False,
) -> None:
    """List the providers and what each can do."""
    found = sorted(KITS.values(), key=_order)
    if markdown:
        say(page(found))
    elif as_json:
        print_list([_record(kit) for kit in found])
    else:
        print_table(_COLUMNS, [_row(kit) for kit in found], empty="")


def page(kits: list[ProviderDefinition]) -> str:
    """docs/providers.md."""
    lines = [_FOREWORD, _line(_COLUMNS), _line(["---"] * len(_COLUMNS))]
    lines += [_line(_row(kit)) for kit in kits]
    lines += ["", "## What an account needs, and what a message may carry", ""]
    details = ("provider", "credentials", "optional", "carries", "largest request")
    lines += [_line(details), _line(["---"] * len(details))]
    lines += [_line(_details(kit)) for kit in kits]
    return "\n".join(lines)


def _row(kit: ProviderDefinition) -> tuple[str, ...]:
    capability = kit.adapter.capability
    return (
        f"{capability.title} (`{capability.provider}`)",
        ", ".join(sorted(capability.channels)),
        _yes(capability.idempotency_key),
        _yes(capability.retry_after),
        "1" if capability.max_batch == 1 else f"up to {capability.max_batch}",
        _rate(capability.default_rate, requests=capability.rate_counts_requests),
        _reports(kit),
    )


def _details(kit: ProviderDefinition) -> tuple[str, ...]:
    capability = kit.adapter.capability
    optional = capability.optional_credentials
    carries = {
        "attachments": capability.attachments,
        "inline images": capability.inline_images,
        "headers": capability.custom_headers,
        "media": capability.media,
        "vendor's templates": capability.templates,
    }
    size = capability.max_bytes
    return (
        f"`{capability.provider}`",
        " ".join(f"`{name}`" for name in capability.credentials if name not in optional),
        " ".join(f"`{name}`" for name in optional),
        ", ".join(name for name, able in carries.items() if able),
        "" if size is None else f"{size // 1024 // 1024} MiB" if size >= 1024 * 1024 else f"{size} bytes",
    )


def _record(kit: ProviderDefinition) -> dict[str, Any]:
    capability = kit.adapter.capability
    return {
        "provider": capability.provider,
        "title": capability.title,
        "channels": sorted(capability.channels),
        "idempotency_key": capability.idempotency_key,
        "retry_after": capability.retry_after,
        "max_batch": capability.max_batch,
        "default_rate": capability.default_rate,
        "receipts": kit.receipts is not None,
        "credentials": list(capability.credentials),
        "optional_credentials": list(capability.optional_credentials),
    }


def _reports(kit: ProviderDefinition) -> str:
    if kit.receipts is not None:
        return "checked call"
    return "asked for" if kit.polled else "none"


def _rate(rate: float | None, *, requests: bool) -> str:
    if rate is None:
        return "none"
    return f"{rate:g}/s of requests" if requests else f"{rate:g}/s"


def _yes(able: bool) -> str:
    return "yes" if able else "no"


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _order(kit: ProviderDefinition) -> tuple[int, str]:
    """By channel; what sends everything comes last."""
    capability = kit.adapter.capability
    order = list(Channel)
    first = min(order.index(channel) for channel in capability.channels)
    return (len(order) if len(capability.channels) > 1 else first, capability.provider)
