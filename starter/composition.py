"""What a worker's activities need of the starter, put together: who tells of forms, who replays, who sweeps."""

from __future__ import annotations

from temporalio.client import Client

from hermod.bootstrap import Storage
from hermod.ports.clock import Clock
from hermod.settings import Settings
from starter.analytics.ingest import EventIngest
from starter.forms.announcer import FormAnnouncer
from starter.forms.partial_revisions import Partials
from starter.forms.payment_intake import PaymentAcceptor
from starter.forms.submission_intake import Submissions
from starter.housekeeping.orphans import DeliveryWorkflows, MessageWorkflows, SubmissionWorkflows
from starter.housekeeping.sweeping import LedgerSweeper, Sweepers
from starter.notifications.acceptor import MessageAcceptor
from starter.notifications.coalescer import Coalescer
from starter.notifications.fan_out import FanOut
from starter.notifications.rendering import Preparer
from starter.notifications.templates import Renderer
from starter.temporal.starts import Starts, WorkflowStarter
from starter.webhooks.events import Webhooks
from starter.webhooks.replays import PagedReplayer


def announcer(client: Client, storage: Storage, clock: Clock, settings: Settings) -> FormAnnouncer:
    """Who tells of forms. What it could not start before the worker stops, the sweeper starts."""
    coalescer = Coalescer(storage.acceptance, WorkflowStarter(client, storage.messages, storage.limits, clock), clock)
    preparer = Preparer(Renderer(storage.templates), FanOut(storage.devices, storage.acceptance))
    desk = MessageAcceptor(storage, preparer, coalescer, clock, settings.local_email_domains)
    return FormAnnouncer(storage, Webhooks(client, storage, clock), desk, clock)


def replayer(client: Client, storage: Storage, events: Webhooks, clock: Clock) -> PagedReplayer:
    starts = Starts(client, storage.limits)
    return PagedReplayer(storage.webhook_replays, starts, clock, begin=events.dispatcher.begin_again, wake=events.wake)


def sweepers(client: Client, storage: Storage, events: Webhooks, replays: PagedReplayer, clock: Clock) -> Sweepers:
    """What looks for all that was left behind, once in a while."""
    messages = MessageWorkflows(WorkflowStarter(client, storage.messages, storage.limits, clock))
    deliveries = DeliveryWorkflows(events.dispatcher)
    ingest = EventIngest(Starts(client, storage.limits), storage.event_outbox, clock)
    submissions = Submissions(client, storage, clock)
    payments = PaymentAcceptor(storage.payments, submissions.wake, clock)
    return Sweepers(
        {
            "messages": LedgerSweeper(storage.orphaned_messages, messages, client, clock),
            "webhooks": LedgerSweeper(storage.orphaned_deliveries, deliveries, client, clock),
            "submissions": LedgerSweeper(
                storage.orphaned_submissions, SubmissionWorkflows(submissions.starter), client, clock
            ),
            "ordered_webhooks": events.orders,
            "waiting_webhooks": events.waiters,
            "replays": replays,
            "partials": Partials(client, storage, clock),
            "events": ingest,
            "payments": payments,
        }
    )
