"""A tenant's account at a provider: what the API takes and shows, and what an adapter is built from."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, SecretStr, StringConstraints

from hermod.contracts.notifications.content import Channel, Line, Url
from hermod.contracts.notifications.retries import Preset, Retry
from hermod.contracts.values.model import Model
from hermod.contracts.values.scalars import Flag, Rate, Whole

DEMO_ORDER = 100
"""`order` of the demo tenant's own accounts: any account that a user adds comes first."""


ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""Which vendor speaks. Which ones there are is known to the registry of adapters (`hermod.channels.registry`) alone."""


class AccountInput(Model):
    """`PUT /v1/provider-accounts/{name}`. Credentials are write-only; leave them out to keep the stored ones.

    They are needed again with another `provider` or `base_url`: what is stored never goes to a new address."""

    channel: Channel
    provider: ProviderName
    credentials: dict[str, SecretStr] | None = None
    base_url: Url | None = None
    """Instead of the provider's own address: a regional host, a proxy, or the sandbox."""
    from_: Annotated[Line, Field(max_length=320)] | None = Field(default=None, alias="from")
    """The sender used where a message names none."""
    order: Annotated[int, Whole(0, 1000)] = 10
    """Accounts are tried from the lowest number up."""
    rate_per_second: Rate | None = None
    """Messages a second, over all workers and all tenants that use the same credentials; requests a second where the
    provider counts those. The provider's usual rate where none is given."""
    retry: Retry | None = None
    """For messages that name none: counts before what the channel or the tenant says. A preset, or the waits after each
    attempt: three of them make four attempts."""
    enabled: Flag = True


class AccountView(Model):
    """An account as the API shows it: no credentials, and whether it can send right now."""

    name: str
    channel: Channel
    provider: str
    base_url: str | None
    from_: str | None = Field(serialization_alias="from")
    order: int
    rate_per_second: float | None
    effective_rate: float | None
    """What applies: the account's own rate, else its provider's usual one; null: as fast as it goes."""
    retry: Preset | tuple[float, ...] | None
    """For messages that name none; null: as the channel or the tenant says."""
    enabled: bool
    available: bool
    """False while the breaker is open or the provider asked us to wait."""
    blocked_until: datetime | None
    blocked_reason: str | None
    updated_at: datetime


class Account(Model):
    """An account with its credentials in the clear: what an adapter is built from. Never logged, never returned."""

    tenant: str
    name: str
    channel: Channel
    provider: str
    credentials: dict[str, str] = Field(repr=False)
    base_url: str | None
    from_: str | None
    order: int
    rate_per_second: float | None
    enabled: bool
    retry: Preset | tuple[float, ...] | None = None
    blocked_until: datetime | None
    blocked_reason: str | None
    blocked_count: int
    revision: int
    """Grows with every change of the settings, so that a cached adapter knows when it is out of date."""
    identity_revision: int = 1
    """The revision that last changed provider, address or credentials: from it on the name means the same account."""
    bucket: str = ""
    """Stands for the real account at the provider: the same for all tenants that use its credentials."""

    def describe(self) -> dict[str, Any]:
        """What may be logged."""
        return {"account": self.name, "provider": self.provider}
