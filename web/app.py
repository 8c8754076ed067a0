"""The web application: routes, errors and reference put together over one `Hermod` client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from hermod.contracts.errors import HermodError
from hermod.settings import Settings
from starter.client import Hermod
from web import operations, reference
from web.admin import tenants
from web.http.arrival import Arrival
from web.http.methods import Methods, answer_http_error
from web.http.request_log import RequestLogMiddleware
from web.ingress.analytics import events, queries
from web.ingress.forms import forms, journeys, partials, stripe, submissions
from web.ingress.notifications import devices, messages, receipts, suppressions, templates
from web.ingress.tenants import limits, payment_accounts, provider_accounts, retention, retry_defaults
from web.ingress.webhooks import attempts, endpoints, replays
from web.ingress.webhooks import events as webhook_events
from web.problems import answer_hermod_error, answer_wrong_parameters
from web.recipients import unsubscribing


def create_app(settings: Settings, *, hermod: Hermod | None = None) -> FastAPI:
    """The application over `hermod`, which stays the caller's to close; without one it opens its own when it starts.

    It starts whatever is up: while the database is away calls answer 503, while Temporal is away messages are taken.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if hermod is not None:
            yield
            return
        async with await Hermod.connect(settings=settings, actor="web") as own:
            app.state.hermod = own
            yield

    app = FastAPI(
        title="Hermod",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        lifespan=lifespan,
    )
    app.state.hermod = hermod
    app.add_middleware(Methods)
    app.add_middleware(RequestLogMiddleware)
    app.add_middleware(Arrival)
    app.add_exception_handler(HermodError, answer_hermod_error)
    app.add_exception_handler(HTTPException, answer_http_error)
    app.add_exception_handler(RequestValidationError, answer_wrong_parameters)
    routers = (
        messages,
        templates,
        devices,
        provider_accounts,
        limits,
        retention,
        retry_defaults,
        suppressions,
        endpoints,
        webhook_events,
        attempts,
        replays,
        events,
        queries,
        forms,
        submissions,
        partials,
        journeys,
        payment_accounts,
        stripe,
        receipts,
        unsubscribing,
        tenants,
        operations,
    )
    for room in routers:
        app.include_router(room.router)
    reference.install(app)
    return app
