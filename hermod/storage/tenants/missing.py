"""What is said wherever a tenant is named that there is not."""

from __future__ import annotations

from hermod.contracts.errors import NotFound


def no_tenant(tenant: str) -> NotFound:
    return NotFound(f"there is no tenant {tenant}; create it with `hermod tenants create {tenant}`")
