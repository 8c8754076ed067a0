"""Webhook endpoints as the API and the command line keep them: checked before they are stored, and tried out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from hermod.bootstrap import webhook_guard
from hermod.contracts.errors import FieldError, InvalidInput, NotFound
from hermod.contracts.ids import new_id
from hermod.contracts.notifications.content import MEDIA_TYPE
from hermod.contracts.webhooks.deliveries import (
    HEADER_NAME,
    HEADER_VALUE,
    DeliveryAttemptView,
    DeliveryStatus,
    EndpointPage,
    EndpointSettings,
    EndpointView,
    EventInput,
    NewEndpoint,
    NewSecret,
    Rotation,
    WhenExhausted,
)
from hermod.domain.webhooks.origins import origin
from hermod.outbound.webhooks.requests import RESERVED_HEADERS, USUAL_HEADERS, post_for
from hermod.ports.webhooks.ledger import DeliveryItem, Exchange
from hermod.settings import Settings
from hermod.storage.webhooks.acceptance import event_body
from starter.client import Hermod
from starter.validation_errors import field_errors

TEST_TYPE: Final = "hermod.test"
_ENDS_WAITS: Final = frozenset({"enabled", "url"})
"""Settings after which there may be no pause to wait for any more."""
_OURS: Final = ("webhook-", "content-", "proxy-")
_MOVED: Final = "needed again, or null to drop it: it was given for another address than this url"
_HEADER_NAME: Final = re.compile(HEADER_NAME)
_HEADER_VALUE: Final = re.compile(HEADER_VALUE)


async def create_endpoint(hermod: Hermod, settings: EndpointSettings) -> NewEndpoint:
    """Store an endpoint of the client's tenant. Raises InvalidInput, naming each wrong setting."""
    core = hermod.core
    _check(settings, core.settings)
    return await core.storage.webhook_endpoints.create(
        hermod.tenant, settings, actor=hermod.actor, now=core.clock.now()
    )


async def show_endpoint(hermod: Hermod, endpoint: str) -> EndpointView:
    """Raises NotFound."""
    core = hermod.core
    return await core.storage.webhook_endpoints.get(hermod.tenant, endpoint, core.clock.now())


async def list_endpoints(hermod: Hermod, *, cursor: str | None = None, limit: int = 50) -> EndpointPage:
    """The newest first."""
    core = hermod.core
    return await core.storage.webhook_endpoints.page(hermod.tenant, cursor=cursor, limit=limit, now=core.clock.now())


async def change_endpoint(hermod: Hermod, endpoint: str, given: object) -> EndpointView:
    """Change what `given` names, and nothing else (see `merged`). Raises NotFound and InvalidInput."""
    if not isinstance(given, Mapping):
        raise InvalidInput.of("body", "must be an object")

    def change(current: EndpointSettings) -> EndpointSettings:
        wanted = merged(current, given)
        _check(wanted, hermod.core.settings)
        _check_moved(current, wanted, given)
        return wanted

    core = hermod.core
    view = await core.storage.webhook_endpoints.update(
        hermod.tenant,
        endpoint,
        change,
        named=given.keys(),
        actor=hermod.actor,
        now=core.clock.now(),
    )
    if given.keys() & _ENDS_WAITS:
        core.webhooks.endpoint_changed(hermod.tenant, endpoint)
    return view


async def enable_endpoint(hermod: Hermod, endpoint: str) -> EndpointView:
    """Enable it, and forget what trouble there was: pauses, failures, a lowered concurrency. Raises NotFound."""
    return await change_endpoint(hermod, endpoint, {"enabled": True})


async def rotate_secret(hermod: Hermod, endpoint: str, rotation: Rotation) -> NewSecret:
    """Raises NotFound, and Conflict where too many secrets sign already."""
    core = hermod.core
    overlap = timedelta(hours=rotation.overlap_hours)
    return await core.storage.webhook_endpoints.rotate(
        hermod.tenant, endpoint, overlap, actor=hermod.actor, now=core.clock.now()
    )


async def delete_endpoint(hermod: Hermod, endpoint: str) -> None:
    """Raises NotFound."""
    core = hermod.core
    await core.storage.webhook_endpoints.delete(hermod.tenant, endpoint, actor=hermod.actor, now=core.clock.now())
    core.webhooks.endpoint_changed(hermod.tenant, endpoint)


async def try_endpoint(hermod: Hermod, endpoint: str, *, request_id: str | None = None) -> DeliveryAttemptView:
    """Send a signed `hermod.test` event right now, disabled or not, and give what came of it.

    It is no delivery: nothing is stored, nothing is repeated, and the endpoint's health does not change. Raises
    NotFound, and InvalidInput where its URL may not be called.
    """
    core = hermod.core
    core.storage.webhook_endpoints.forget(hermod.tenant, endpoint)  # it is tried as it is now
    known = await core.storage.webhook_endpoints.endpoint(hermod.tenant, endpoint)
    if known is None:
        raise NotFound(f"there is no webhook endpoint {endpoint}")
    webhook_guard(core.settings).check_url(known.url, "url", query=True)
    started_at = core.clock.now()
    item = _test_item(endpoint, started_at, request_id)
    return _attempt(await core.poster.post(post_for(known, item, 1, started_at)), started_at)


def merged(current: EndpointSettings, given: Mapping[str, Any]) -> EndpointSettings:
    """The settings with the changes put over them. Raises InvalidInput.

    Null takes away what may be missing. Custom headers are merged by name, since nobody can read them back: null takes
    one away. `skip_after` goes when the choice that needs it goes.
    """
    wanted = current.model_dump(mode="json") | dict(given)
    if isinstance(given.get("headers"), Mapping):
        wanted["headers"] = _merged_headers(current.headers, given["headers"])
    if given.get("when_exhausted", WhenExhausted.SKIP) != WhenExhausted.SKIP and "skip_after" not in given:
        wanted["skip_after"] = None
    try:
        return EndpointSettings.model_validate(wanted)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, wanted)) from None


def _merged_headers(current: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Names are the same in any case."""
    replaced = {name.lower() for name in given}
    kept = {name: value for name, value in current.items() if name.lower() not in replaced}
    return kept | {name: value for name, value in given.items() if value is not None}


def _check(endpoint: EndpointSettings, settings: Settings) -> None:
    """Raises InvalidInput for what could never be sent."""
    if faults := tuple(_faults(endpoint, settings)):
        raise InvalidInput(faults)


def _check_moved(current: EndpointSettings, wanted: EndpointSettings, given: Mapping[str, Any]) -> None:
    """Raises InvalidInput where headers that were stored for one origin would go to another."""
    if origin(current.url) == origin(wanted.url):
        return
    headers = given.get("headers")
    named = {name.lower() for name in headers} if isinstance(headers, Mapping) else set()
    kept = sorted(name for name in current.headers if name.lower() not in named)
    if kept:
        raise InvalidInput([FieldError(f"headers.{name}", _MOVED) for name in kept])


def _faults(endpoint: EndpointSettings, settings: Settings) -> Iterator[FieldError]:
    fault = webhook_guard(settings).url_fault(endpoint.url, query=True)
    if fault is not None:
        yield FieldError("url", fault)
    seen: set[str] = set()
    for given, value in endpoint.headers.items():
        name = given.lower()
        if fault := _name_fault(name, seen):
            yield FieldError(f"headers.{given}", fault)
        elif not _HEADER_VALUE.fullmatch(value):
            yield FieldError(f"headers.{given}", "must be printable ASCII on one line, without spaces at its ends")
        elif name == "content-type" and not re.fullmatch(MEDIA_TYPE, value):
            yield FieldError(f"headers.{given}", "must be a media type like application/json; charset=utf-8")
        seen.add(name)


def _name_fault(name: str, seen: set[str]) -> str | None:
    if not _HEADER_NAME.fullmatch(name):
        return "is no name of a header"
    if name in RESERVED_HEADERS or (name.startswith(_OURS) and name not in USUAL_HEADERS):
        return "is set by Hermod, or by HTTP itself"
    return "is there twice, since names are the same in any case" if name in seen else None


def _test_item(endpoint: str, now: datetime, request_id: str | None) -> DeliveryItem:
    event = EventInput(type=TEST_TYPE, payload={"endpoint_id": endpoint})
    return DeliveryItem(
        id=new_id("whd"),
        endpoint_id=endpoint,
        event_id=new_id("evt"),
        event_type=TEST_TYPE,
        body=event_body(event, now),
        status=DeliveryStatus.SENDING,
        attempts=0,
        spent=0,
        next_attempt_at=None,
        wait_reason=None,
        request_id=request_id,
        order_key=None,
    )


def _attempt(exchange: Exchange, started_at: datetime) -> DeliveryAttemptView:
    return DeliveryAttemptView(
        number=1,
        outcome=exchange.outcome,
        status_code=exchange.status_code,
        error=exchange.error,
        address=exchange.address,
        request_headers=dict(exchange.request_headers),
        response_headers=dict(exchange.response_headers),
        response_body=exchange.body.decode(errors="replace") if exchange.status_code is not None else None,
        truncated=exchange.truncated,
        phases=exchange.phases,
        started_at=started_at,
        duration_ms=exchange.duration_ms,
    )
