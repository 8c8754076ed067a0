"""The demo tenant: a tenant, the API key that the data folder keeps, and accounts at the sandbox's providers.

Everything here may run at every start. What a user changed about the accounts stays; only what follows from the
sandbox's addresses is brought up to date.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from pydantic import SecretStr

from devstack.errors import StackError
from devstack.ports import LOOPBACK
from devstack.sandbox_server import SandboxServer
from hermod.contracts.accounts import DEMO_ORDER, Account, AccountInput
from hermod.contracts.content import Channel
from hermod.contracts.errors import Conflict
from hermod.storage.tenants import key_id, new_key
from starter import Hermod
from starter.accounts import save_account
from starter.tokens import WeakSecret, issue

TENANT: Final = "demo"
EMAIL_ACCOUNT: Final = "demo-smtp"
SMS_ACCOUNT: Final = "demo-twilio"
_ACTOR: Final = "devstack"
_TOKEN_LIFE: Final = timedelta(days=365)


class DemoAccount(NamedTuple):
    name: str
    channel: Channel
    provider: str
    credentials: dict[str, str]
    base_url: str | None
    sender: str


async def seed(hermod: Hermod, sandbox: SandboxServer, api_key: str) -> str:
    """Put the demo tenant in place; gives the API key that works, which is another one if `api_key` was revoked."""
    tenants, now = hermod.core.storage.tenants, hermod.core.clock.now()
    with suppress(Conflict):
        await tenants.create(TENANT, "Demo", now)
    revoked = {key.id for key in await tenants.keys(TENANT) if key.revoked_at}
    if key_id(api_key) in revoked:
        api_key = new_key()
    await tenants.create_key(TENANT, "dev stack", now, key=api_key)
    demo = hermod.as_tenant(TENANT, _ACTOR)
    for wanted in _accounts(sandbox):
        stored = await hermod.core.storage.accounts.for_channel(TENANT, wanted.channel)
        settings = _settings(wanted, next((one for one in stored if one.name == wanted.name), None))
        if settings:
            await save_account(demo, wanted.name, settings)
    return api_key


def _accounts(sandbox: SandboxServer) -> list[DemoAccount]:
    smtp = {"host": LOOPBACK, "port": str(sandbox.smtp_port), "tls": "none"}
    twilio = {"account_sid": "AC" + "0" * 32, "auth_token": "sandbox"}
    return [
        DemoAccount(EMAIL_ACCOUNT, Channel.EMAIL, "smtp", smtp, None, "Hermod <hermod@example.com>"),
        DemoAccount(SMS_ACCOUNT, Channel.SMS, "twilio", twilio, f"{sandbox.url}/twilio", "+14155550100"),
    ]


def _settings(wanted: DemoAccount, stored: Account | None) -> AccountInput | None:
    """What to store, or None where it is stored already."""
    if stored and (stored.credentials, stored.base_url) == (wanted.credentials, wanted.base_url):
        return None
    return AccountInput(
        channel=wanted.channel,
        provider=wanted.provider,
        credentials={name: SecretStr(value) for name, value in wanted.credentials.items()},
        base_url=wanted.base_url,
        from_=stored.from_ if stored else wanted.sender,
        order=stored.order if stored else DEMO_ORDER,
        rate_per_second=stored.rate_per_second if stored else None,
        enabled=stored.enabled if stored else True,
    )


def admin_token(jwt_secret: str) -> str:
    """A token for the admin API and the console. Raises StackError where the secret in the environment is too weak."""
    try:
        return issue(jwt_secret, subject=_ACTOR, valid_for=_TOKEN_LIFE, now=datetime.now(UTC))
    except WeakSecret as error:
        raise StackError(str(error)) from None
