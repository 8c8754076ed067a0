"""`make demo`, while `make run` runs: one message through every provider, and what became of it.

Each provider gets an account of the tenant `showcase` whose vendor is played by the sandbox. The messages go the whole
way: accepted, a workflow, the adapter, the vendor's checks, the inbox; then the sandbox reports each one's delivery as
the vendor would, signed, and the ledger takes it in. Then somebody pays for a form, and some of it is given back.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Annotated, Any, Final, NamedTuple

import httpx
import orjson
import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from devstack.demo.paid_form import show_paid_form
from devstack.demo.sandbox_accounts import SandboxAccount, SandboxAddresses, sample, sandbox_account
from devstack.options import load_options
from hermod.channels.registry import KITS
from hermod.contracts.errors import Conflict, HermodError
from hermod.contracts.notifications.messages import MessageView, Status
from hermod.contracts.tenants.accounts import AccountInput
from hermod.domain.states import OPEN
from hermod.settings import SettingsError, local_settings
from starter import Hermod
from starter.process.exit import leave
from starter.tenants.accounts import save_account

TENANT: Final = "showcase"
_ACTOR: Final = "showcase"
_WAIT_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1


class Shown(NamedTuple):
    """One provider's message."""

    provider: str
    view: MessageView
    seconds: float


async def show(hermod: Hermod, at: SandboxAddresses) -> list[Shown]:
    """Send one message by each provider and follow it; all at once."""
    with suppress(Conflict):
        await hermod.core.storage.tenants.create(TENANT, "Showcase", hermod.core.clock.now())
    showcase = hermod.as_tenant(TENANT, _ACTOR)
    accounts = {provider: sandbox_account(provider, at) for provider in sorted(KITS) if provider != "sandbox"}
    for provider, account in accounts.items():
        await save_account(showcase, provider, _settings(account))
    async with httpx.AsyncClient(base_url=at.url, timeout=15, trust_env=False) as sandbox:
        found = await asyncio.gather(*(_one(showcase, sandbox, at, account) for account in accounts.values()))
    return list(found)


async def _one(hermod: Hermod, sandbox: httpx.AsyncClient, at: SandboxAddresses, account: SandboxAccount) -> Shown:
    begun = time.monotonic()
    provider = account.provider
    receipt = await hermod.send(sample(provider, at), provider_account=provider, priority=7)
    view = await _until(hermod, receipt.id, lambda found: found.status not in OPEN)
    seconds = time.monotonic() - begun
    if (
        view.status is Status.SENT
        and KITS[provider].receipts is not None
        and await _reported(hermod, sandbox, view, account)
    ):
        view = await _until(hermod, receipt.id, lambda found: found.status is Status.DELIVERED)
    return Shown(provider, view, seconds)


async def _until(hermod: Hermod, message: str, reached: Any) -> MessageView:
    """The message as soon as it is there, or as it is when the patience is over."""
    begun = time.monotonic()
    while True:
        view = await hermod.status(message)
        if reached(view) or time.monotonic() - begun > _WAIT_SECONDS:
            return view
        await asyncio.sleep(_POLL_SECONDS)


async def _reported(hermod: Hermod, sandbox: httpx.AsyncClient, view: MessageView, account: SandboxAccount) -> bool:
    """Have the vendor report the delivery to our own address; whether it has such a report."""
    listed = await sandbox.get("/_sandbox/inbox", params={"provider": account.provider, "limit": 50})
    items = listed.raise_for_status().json()["items"]
    entry = next((one for one in items if one["provider_message_id"] == view.provider_message_id), None)
    public = hermod.core.settings.public_url
    if entry is None or public is None:
        return False
    url = f"{public}/ingress/receipts/{account.provider}/{TENANT}/{account.provider}"
    order = {"happening": "delivered", "url": url, "credentials": account.credentials}
    answer = await sandbox.post(f"/_sandbox/inbox/{entry['number']}/report", json=order)
    return answer.status_code == httpx.codes.OK and answer.json()["status"] == httpx.codes.OK


def _settings(account: SandboxAccount) -> AccountInput:
    return AccountInput(
        channel=account.channel,
        provider=account.provider,
        credentials={name: SecretStr(value) for name, value in account.credentials.items()},
        base_url=account.base_url,
        from_=account.sender,
        rate_per_second=100,
    )


def _table(shown: list[Shown]) -> Table:
    table = Table("provider", "channel", "status", "sent after", "the provider's id", "reports", box=None)
    for one in shown:
        reports = ", ".join(receipt.kind.value for receipt in one.view.receipts)
        table.add_row(
            one.provider,
            one.view.channel.value,
            one.view.status.value,
            f"{one.seconds:.2f} s",
            (one.view.provider_message_id or one.view.error or "")[:44],
            reports or ("asked for later" if KITS[one.provider].polled else "-"),
        )
    return table


async def _main(*, as_json: bool) -> int:
    options = load_options()
    written = orjson.loads((options.data_dir / "dev.json").read_bytes())
    at = SandboxAddresses(url=written["sandbox_url"], smtp_port=written["smtp_port"], apns_url=written["apns_url"])
    settings = local_settings().model_copy(update={"public_url": written["url"]})
    async with await Hermod.connect(settings=settings, tenant=TENANT, actor=_ACTOR) as hermod:
        shown = await show(hermod, at)
        steps = await show_paid_form(hermod)
    if as_json:
        print(
            orjson.dumps(
                [
                    {"provider": one.provider, "seconds": one.seconds, **one.view.model_dump(mode="json")}
                    for one in shown
                ]
            ).decode()
        )
    else:
        console = Console()
        console.print(_table(shown))
        console.print(f"\nSee them at {at.url}\n\nA form that is paid for:", highlight=False)
        for step in steps:
            console.print(f"  {step.at:%H:%M:%S.%f} {step.kind}", highlight=False)
    return 0 if all(one.view.status in (Status.SENT, Status.DELIVERED) for one in shown) else 1


def main(as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")] = False) -> None:
    """Send one message through every provider of the sandbox. `make run` must be running in this folder."""
    try:
        code = asyncio.run(_main(as_json=as_json))
    except FileNotFoundError:
        typer.echo("Nothing runs here. Start it with `make run`, and try again in another terminal.", err=True)
        code = 1
    except (HermodError, SettingsError, httpx.HTTPError) as error:
        typer.echo(f"The demo stopped: {error}", err=True)
        code = 1
    leave(code)


if __name__ == "__main__":
    typer.run(main)
