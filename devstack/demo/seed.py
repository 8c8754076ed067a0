"""The demo tenant: a tenant, the API key that the data folder keeps, and accounts at the sandbox's providers.

Everything here may run at every start. What a user changed about the accounts stays; only what follows from the
sandbox's addresses is brought up to date.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from pydantic import SecretStr

from devstack.demo.sandbox_accounts import SandboxAccount, SandboxAddresses, sandbox_account
from devstack.errors import StackError
from devstack.servers.sandbox import SandboxServer
from hermod.contracts.errors import Conflict
from hermod.contracts.tenants.accounts import DEMO_ORDER, Account, AccountInput
from hermod.storage.tenants.tenants import key_id, new_key
from starter import Hermod
from starter.tenants.accounts import save_account
from starter.tenants.tokens import WeakSecret, issue

TENANT: Final = "demo"
DEMO_RATE: Final = 500.0
"""Messages a second: a provider's usual rate would only make the demo slow."""
EMAIL_ACCOUNT: Final = "demo-smtp"
SMS_ACCOUNT: Final = "demo-twilio"
_ACTOR: Final = "devstack"
_TOKEN_LIFE: Final = timedelta(days=365)


ACCOUNTS: Final = (
    ("demo-sendgrid", "sendgrid", DEMO_ORDER),
    (EMAIL_ACCOUNT, "smtp", DEMO_ORDER + 10),
    (SMS_ACCOUNT, "twilio", DEMO_ORDER),
    ("demo-whatsapp", "whatsapp_cloud", DEMO_ORDER),
    ("demo-apns", "apns", DEMO_ORDER),
    ("demo-expo", "expo", DEMO_ORDER),
    ("demo-webpush", "webpush", DEMO_ORDER),
    ("demo-fcm", "fcm", DEMO_ORDER + 10),
)
"""Name, provider and place in the chain. Email goes first by SendGrid, then by SMTP; a push token finds its own."""


class DemoAccount(NamedTuple):
    name: str
    order: int
    at: SandboxAccount


async def seed(hermod: Hermod, sandbox: SandboxServer, api_key: str) -> str:
    """Put the demo tenant in place; gives the API key that works, which is another one if `api_key` was revoked."""
    tenants, now = hermod.core.storage.tenants, hermod.core.clock.now()
    await hermod.core.storage.records.drop_deleted_tenants(only=TENANT)  # its id is needed
    with suppress(Conflict):
        await tenants.create(TENANT, "Demo", now)
    revoked = {key.id for key in await tenants.keys(TENANT) if key.revoked_at}
    if key_id(api_key) in revoked:
        api_key = new_key()
    await tenants.create_key(TENANT, "dev stack", now, key=api_key)
    demo = hermod.as_tenant(TENANT, _ACTOR)
    for wanted in _accounts(sandbox):
        stored = await hermod.core.storage.accounts.for_channel(TENANT, wanted.at.channel)
        settings = _settings(wanted, next((one for one in stored if one.name == wanted.name), None))
        if settings:
            await save_account(demo, wanted.name, settings)
    return api_key


def _accounts(sandbox: SandboxServer) -> list[DemoAccount]:
    at = SandboxAddresses(url=sandbox.url, smtp_port=sandbox.smtp_port, apns_url=sandbox.apns_url)
    return [DemoAccount(name, order, sandbox_account(provider, at)) for name, provider, order in ACCOUNTS]


def _settings(wanted: DemoAccount, stored: Account | None) -> AccountInput | None:
    """What to store, or None where it is stored already."""
    at = wanted.at
    if stored and (stored.credentials, stored.base_url) == (at.credentials, at.base_url):
        return None
    return AccountInput(
        channel=at.channel,
        provider=at.provider,
        credentials={name: SecretStr(value) for name, value in at.credentials.items()},
        base_url=at.base_url,
        from_=stored.from_ if stored else at.sender,
        order=stored.order if stored else wanted.order,
        rate_per_second=stored.rate_per_second if stored else DEMO_RATE,
        enabled=stored.enabled if stored else True,
    )


def admin_token(jwt_secret: str) -> str:
    """A token for the admin API and the console. Raises StackError where the secret in the environment is too weak."""
    try:
        return issue(jwt_secret, subject=_ACTOR, valid_for=_TOKEN_LIFE, now=datetime.now(UTC))
    except WeakSecret as error:
        raise StackError(str(error)) from None
