"""Tenants and API keys, as the command line and the API show them."""

from __future__ import annotations

from datetime import datetime

from hermod.contracts.values.addresses import EmailAddress
from hermod.contracts.values.model import Model


class Tenant(Model):
    id: str
    name: str
    weight: float
    owner_email: str | None = None
    """Who is told what needs a person, such as a webhook endpoint that was disabled."""
    created_at: datetime


class Owner(Model):
    """`hermod tenants owner`."""

    email: EmailAddress


class ContentPolicy(Model):
    """How a tenant's contents are kept: encrypted or not, and for how many days after a message's end."""

    tenant: str
    encrypts: bool
    days: int


class ApiKey(Model):
    """A key without its secret: `id` is the part that may be shown."""

    id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None


class NewApiKey(Model):
    """A key just made. `key` is shown this once and kept nowhere."""

    id: str
    tenant: str
    name: str
    key: str
