"""What is known about the request at hand: its id from the first byte on, its tenant once it has authenticated."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from hermod.contracts.ids import request_id
from starter.client import Hermod
from starter.services import Services

_IN_SCOPE: Final = "hermod.request"
_SANE: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")


@dataclass(slots=True)
class RequestContext:
    request_id: str
    tenant: str | None = None


def open_context(scope: MutableMapping[str, Any]) -> RequestContext:
    """The context of a new request: the caller's X-Request-Id where it is a sane one, else an id of our own."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    context = RequestContext(given.decode() if _SANE.fullmatch(given) else request_id())
    scope[_IN_SCOPE] = context
    return context


def is_known(scope: Mapping[str, Any]) -> bool:
    """Whether the caller has shown who it is."""
    context: RequestContext | None = scope.get(_IN_SCOPE)
    return context is not None and context.tenant is not None


def context_of(request: Request) -> RequestContext:
    context: RequestContext = request.scope[_IN_SCOPE]
    return context


def hermod_of(request: Request) -> Hermod:
    """The client of this process, which acts for no tenant in particular."""
    hermod: Hermod = request.app.state.hermod
    return hermod


def core_of(request: Request) -> Services:
    return hermod_of(request).core
