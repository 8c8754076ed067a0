"""What all tenants of one process share, built from its settings and taken apart again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from temporalio.client import Client

from hermod.bootstrap import Analytics, Storage, open_analytics, open_poster, open_storage
from hermod.clock import SystemClock
from hermod.ports.clock import Clock
from hermod.ports.webhooks.ledger import Poster
from hermod.settings import Settings
from starter.analytics.events import Events
from starter.concurrency.relay import Relay
from starter.forms.partial_revisions import Partials
from starter.forms.payment_intake import PaymentAcceptor
from starter.forms.submission_intake import Submissions
from starter.notifications.acceptor import MessageAcceptor
from starter.notifications.coalescer import Coalescer
from starter.notifications.fan_out import FanOut
from starter.notifications.rendering import Preparer
from starter.notifications.templates import Renderer
from starter.process.backlog import BacklogWatch
from starter.temporal.connection import connect
from starter.temporal.starts import WorkflowStarter
from starter.webhooks.events import Webhooks


@dataclass(frozen=True, slots=True)
class Services:
    """What all tenants of one process share."""

    settings: Settings
    storage: Storage
    temporal: Client
    dispatcher: WorkflowStarter
    coalescer: Coalescer
    preparer: Preparer
    renderer: Renderer
    clock: Clock
    poster: Poster
    webhooks: Webhooks
    partials: Partials
    analytics: Analytics
    backlog: BacklogWatch
    restarts: Relay
    """Dead letters, many at once, that begin again."""
    events: Events
    submissions: Submissions
    payments: PaymentAcceptor

    @property
    def desk(self) -> MessageAcceptor:
        local = self.settings.local_email_domains
        return MessageAcceptor(self.storage, self.preparer, self.coalescer, self.clock, local)


@asynccontextmanager
async def open_core(settings: Settings, temporal: Client | None) -> AsyncIterator[Services]:
    """`temporal` is a client that there is already. What was accepted is handed over before it is closed."""
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(open_storage(settings))
        temporal = temporal or await connect(settings)
        clock = SystemClock()
        dispatcher = WorkflowStarter(temporal, storage.messages, storage.limits, clock)
        coalescer = Coalescer(storage.acceptance, dispatcher, clock)
        stack.push_async_callback(coalescer.drain)
        renderer = Renderer(storage.templates)
        preparer = Preparer(renderer, FanOut(storage.devices, storage.acceptance))
        poster = await stack.enter_async_context(open_poster(settings))
        webhooks = Webhooks(temporal, storage, clock)
        stack.push_async_callback(webhooks.drain)
        partials = Partials(temporal, storage, clock)
        stack.push_async_callback(partials.drain)
        analytics = await stack.enter_async_context(open_analytics(settings, storage.database))
        events = Events(temporal, storage, clock)
        stack.push_async_callback(events.drain)
        submissions = Submissions(temporal, storage, clock, converted=partials.converted)
        stack.push_async_callback(submissions.drain)
        restarts = Relay()
        stack.push_async_callback(restarts.drain)
        payments = PaymentAcceptor(storage.payments, submissions.wake, clock)
        stack.push_async_callback(payments.drain)
        yield Services(
            settings=settings,
            storage=storage,
            temporal=temporal,
            dispatcher=dispatcher,
            coalescer=coalescer,
            preparer=preparer,
            renderer=renderer,
            clock=clock,
            poster=poster,
            webhooks=webhooks,
            partials=partials,
            events=events,
            submissions=submissions,
            payments=payments,
            analytics=analytics,
            restarts=restarts,
            backlog=BacklogWatch(storage.backlog, clock, settings.backlog_seconds),
        )
