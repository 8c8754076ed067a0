"""Rows of `webhook_endpoints` as the models that others know, and back."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import orjson
from pydantic import TypeAdapter
from sqlalchemy import Row

from hermod.contracts.webhooks.deliveries import EndpointSettings, EndpointView, Health, Ordering, WhenExhausted
from hermod.contracts.webhooks.payload_filters import PayloadCondition
from hermod.domain.rates import countable
from hermod.domain.webhooks.endpoint_secrets import EndpointSecrets
from hermod.domain.webhooks.payload_filters import Holds, compiled
from hermod.domain.webhooks.schedules import jitter, timeout, waits
from hermod.ports.webhooks.ledger import Endpoint
from hermod.storage.tenants.retry_defaults import retry_of

_CONDITIONS: Final = TypeAdapter(tuple[PayloadCondition, ...])
MANUAL: Final = "manual"
"""Why an endpoint is disabled that somebody has disabled."""


def columns(settings: EndpointSettings) -> dict[str, Any]:
    """The parameters of a statement that writes them; secrets are sealed elsewhere."""
    return {
        "url": settings.url,
        "event_types": list(settings.event_types),
        "filter": orjson.dumps([one.model_dump(mode="json") for one in settings.filter]).decode(),
        "description": settings.description,
        "retry": orjson.dumps(settings.retry).decode(),
        "timeout_seconds": settings.timeout_seconds,
        "rate_per_second": settings.rate_per_second,
        "max_concurrency": settings.max_concurrency,
        "ordering": settings.ordering.value,
        "when_exhausted": settings.when_exhausted.value,
        "skip_after": settings.skip_after,
        "enabled": settings.enabled,
        "reason": MANUAL,
    }


def _rate(row: Row[Any]) -> float | None:
    return None if row.rate_per_second is None else countable(row.rate_per_second)


def _filter(row: Row[Any]) -> tuple[PayloadCondition, ...]:
    return _CONDITIONS.validate_python(row.filter)


@lru_cache(maxsize=256)
def payload_filter(stored: str) -> Holds | None:
    """A filter as it is stored, made ready: an endpoint is looked at for each event. None where it asks for all."""
    conditions = _CONDITIONS.validate_json(stored)
    return compiled(conditions) if conditions else None


def stored_settings(row: Row[Any], secrets: EndpointSecrets) -> EndpointSettings:
    """As they were checked when they were stored."""
    return EndpointSettings.model_construct(
        url=row.url,
        event_types=tuple(row.event_types),
        filter=_filter(row),
        description=row.description,
        retry=retry_of(row.retry),
        timeout_seconds=row.timeout_seconds,
        rate_per_second=_rate(row),
        max_concurrency=row.max_concurrency,
        ordering=Ordering(row.ordering),
        when_exhausted=WhenExhausted(row.when_exhausted),
        skip_after=row.skip_after,
        headers=dict(secrets.headers),
        asymmetric=secrets.pair is not None,
        enabled=row.enabled,
    )


def as_endpoint(row: Row[Any], secrets: EndpointSecrets, now: datetime) -> Endpoint:
    """As deliveries see it, with the keys that sign now."""
    retry = retry_of(row.retry)
    return Endpoint(
        tenant=row.tenant_id,
        id=row.id,
        url=row.url,
        headers=secrets.headers,
        keys=secrets.valid(now),
        waits=waits(retry),
        jitter=jitter(retry),
        timeout=timedelta(seconds=timeout(retry, row.timeout_seconds)),
        rate_per_second=_rate(row),
        concurrency=max(1, int(row.concurrency)),
        ordering=Ordering(row.ordering),
        when_exhausted=WhenExhausted(row.when_exhausted),
        skip_after=row.skip_after,
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        paused_until=row.paused_until,
        pause_reason=row.pause_reason,
        pause_count=row.pause_count,
        revision=row.revision,
    )


def as_view(row: Row[Any], now: datetime) -> EndpointView:
    """As the API shows it. The row has `succeeded`, `failed` and `parked` besides its own columns."""
    retry = retry_of(row.retry)
    return EndpointView(
        id=row.id,
        url=row.url,
        event_types=tuple(row.event_types),
        filter=_filter(row),
        description=row.description,
        retry=retry,
        timeout_seconds=timeout(retry, row.timeout_seconds),
        rate_per_second=_rate(row),
        max_concurrency=row.max_concurrency,
        ordering=Ordering(row.ordering),
        when_exhausted=WhenExhausted(row.when_exhausted),
        skip_after=row.skip_after,
        headers=tuple(row.header_names),
        public_key=row.public_key,
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        disabled_at=row.disabled_at,
        paused_until=row.paused_until if row.paused_until is not None and row.paused_until > now else None,
        concurrency=max(1, int(row.concurrency)),
        health=Health(succeeded=row.succeeded, failed=row.failed, failing_since=row.failing_since),
        parked=row.parked,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
