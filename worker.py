"""The worker: settings, resources, activities, and one Temporal worker per task queue.

    python worker.py                       every lane, against TEMPORAL_ADDRESS and DATABASE_URL
    python worker.py --lanes email,sms     only these lanes
    python worker.py --dev                 the whole product on embedded servers

SIGTERM and SIGINT let the requests that are under way come to their end, hand back the rest, and exit with 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any, Final

import typer
import uvloop
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.analytics.events import EventActivities
from activities.forms.partials import PartialActivities
from activities.forms.submissions import SubmissionActivities
from activities.housekeeping.contents import ContentActivities
from activities.housekeeping.devices import DeviceActivities
from activities.housekeeping.promises import PromiseActivities
from activities.housekeeping.records import RecordActivities
from activities.housekeeping.sweeping import HousekeepingActivities
from activities.interceptor import FailureInterceptor
from activities.notifications.activities import NotificationActivities
from activities.notifications.request_slots import RequestSlots
from activities.webhooks.activities import WebhookActivities
from activities.webhooks.bulkheads import Bulkheads
from activities.webhooks.dispatcher import WebhookDependencies
from activities.webhooks.notices import NoticeActivities
from activities.webhooks.ordering import WebhookOrderActivities
from activities.webhooks.replays import WebhookReplayActivities
from activities.webhooks.waiting import WebhookWaitingActivities
from hermod.bootstrap import Analytics, Storage, open_analytics, open_backend, open_poster, open_senders, open_storage
from hermod.clock import SystemClock
from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.content import Channel
from hermod.contracts.queues import WORKFLOWS, Lane, lane_named, lane_numbers
from hermod.outbound.webhooks.requests import post_for
from hermod.ports.clock import Clock
from hermod.ports.forms.forms import Announcer
from hermod.ports.forms.submissions import Backend, NoBackend
from hermod.ports.notifications.sender import SenderFactory
from hermod.ports.webhooks.ledger import Poster
from hermod.settings import Settings, SettingsError, load_settings
from hermod.storage.database.migrate import SchemaOutdated, check_schema
from hermod.telemetry import configure_logging, get_logger
from starter.composition import announcer, replayer, sweepers
from starter.process.exit import leave
from starter.process.health import PortTaken, serve_health
from starter.process.processes import raise_file_limit, stop_on_signals, supervise, tune_gc
from starter.temporal import schedules
from starter.temporal.calls import TEMPORAL_ERRORS
from starter.temporal.connection import connect
from starter.temporal.search_attributes import WrongSearchAttributes, register
from starter.webhooks.events import Webhooks
from starter.webhooks.notices import NoticeSender
from workflows.analytics.ingest_events import IngestEvents
from workflows.forms.process_submission import ProcessSubmission
from workflows.forms.save_partial import SavePartial
from workflows.housekeeping.audit_promises import AuditPromises
from workflows.housekeeping.drop_contents import DropContents
from workflows.housekeeping.drop_records import DropRecords
from workflows.housekeeping.poll_receipts import PollReceipts
from workflows.housekeeping.reconcile_receipts import ReconcileReceipts
from workflows.housekeeping.remove_dead_devices import RemoveDeadDevices
from workflows.housekeeping.send_webhook_notices import SendWebhookNotices
from workflows.housekeeping.sweep_stranded import SweepStranded
from workflows.notifications.send_batch import SendBatch
from workflows.notifications.send_notification import SendNotification
from workflows.webhooks.deliver_webhook import DeliverWebhook
from workflows.webhooks.deliver_webhooks import DeliverWebhooks
from workflows.webhooks.drain_endpoint import DrainEndpoint
from workflows.webhooks.ordered_endpoint import OrderedEndpoint
from workflows.webhooks.replay_deliveries import ReplayDeliveries

POLLS: Final = 2
"""Open requests for work on each lane. A worker that freezes swallows a task with each of them, and every such task is
missed only by its heartbeat: with more of them a delivery may have to be given out many times."""
HEARTBEAT_EVERY: Final = timedelta(seconds=3)
"""At the most. The SDK would send one in eight seconds, two before it is overdue, and a dispatch that is not wanted any
more learns of that by its answer."""
TAKEOVER: Final = timedelta(seconds=5)
"""After this long another worker takes over the workflows of one that is gone. A busy worker must not be missed: each
time-out means a whole replay more, which makes it busier."""
WORKFLOW_POLLS: Final = PollerBehaviorAutoscaling(minimum=2, initial=4, maximum=20)
"""Open requests for workflow tasks. A backlog is worked off by many, and an idle worker holds a few."""

RETRY_START: Final = timedelta(seconds=2)
"""Between two looks at servers that are not there yet."""

WORKFLOW_CLASSES: Final = (
    SendNotification,
    SendBatch,
    DeliverWebhook,
    DeliverWebhooks,
    DrainEndpoint,
    OrderedEndpoint,
    ReplayDeliveries,
    IngestEvents,
    ProcessSubmission,
    SavePartial,
    SweepStranded,
    AuditPromises,
    DropContents,
    DropRecords,
    ReconcileReceipts,
    PollReceipts,
    RemoveDeadDevices,
    SendWebhookNotices,
)
LANES: Final = tuple(Lane)
_NEED_A_SERVER: Final = (
    "CLICKHOUSE_URL is not set. One process can keep events by itself, several need a server: set it, "
    "or leave out --processes."
)
MOST_INSERTS: Final = 8
"""Rounds of events at once in one worker, each of up to 16 MiB and more in memory."""

_PASSED_THROUGH: Final = (
    "activities", "hermod", "pydantic", "pydantic_core", "annotated_types", "phonenumbers", "email_validator", "idna",
    "structlog", "prometheus_client", "orjson", "workflows.policies", "workflows.search_attributes",
)  # fmt: skip
_log = get_logger(__name__)


def workflow_runner() -> WorkflowRunner:
    """The sandbox as worker, tests and replayer use it: libraries are loaded once, workflow code afresh and guarded."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*_PASSED_THROUGH))


def build_workers(
    client: Client,
    settings: Settings,
    storage: Storage,
    senders: SenderFactory,
    poster: Poster,
    *,
    analytics: Analytics,
    backend: Backend | None = None,
    lanes: Sequence[Lane] = LANES,
    concurrency: Mapping[Lane, int] | None = None,
    drain: timedelta | None = None,
) -> list[Worker]:
    """One worker per task queue: the workflows with their bookkeeping, and each lane.

    `concurrency`: of a lane, how many activities run at once, and how many requests they make at once, all together.
    `drain`: how long requests that are under way may take to end after SIGTERM, where the settings do not say it.

    Eager activities are off, since they would pass by a paused lane.
    """
    clock = SystemClock()
    drain = timedelta(seconds=settings.drain_seconds) if drain is None else drain
    numbers = {**settings.lane_concurrency, **(concurrency or {})}
    places = {lane: numbers.get(lane, settings.worker_concurrency) for lane in lanes}
    if Lane.EVENTS in places:
        places[Lane.EVENTS] = min(places[Lane.EVENTS], MOST_INSERTS)
    notifications = _notifications(storage, senders, clock, drain, places)
    events = Webhooks(client, storage, clock)
    ways = _webhook_ways(storage, poster, events, places.get(Lane.WEBHOOKS, 1))
    webhooks = WebhookActivities(ways, clock, drain=drain)
    of_lane: dict[Lane, list[Callable[..., Any]]] = {
        **{lane: [notifications.deliver] for lane in (Lane.EMAIL, Lane.SMS, Lane.WHATSAPP, Lane.PUSH)},
        Lane.WEBHOOKS: [webhooks.deliver_webhooks],
        **_forms_and_events(storage, analytics, backend or NoBackend(), announcer(client, storage, clock, settings)),
    }
    bookkeeping = _bookkeeping(client, storage, events, senders, clock)
    common: dict[str, Any] = {"graceful_shutdown_timeout": drain, "disable_eager_activity_execution": True}
    common["interceptors"] = [FailureInterceptor(storage.failing, clock)]
    workflows = Worker(
        client,
        task_queue=WORKFLOWS,
        workflows=WORKFLOW_CLASSES,
        activities=[notifications.withdraw, webhooks.withdraw_webhooks, *bookkeeping],
        workflow_runner=workflow_runner(),
        sticky_queue_schedule_to_start_timeout=TAKEOVER,
        workflow_task_poller_behavior=WORKFLOW_POLLS,
        **common,
    )
    return [workflows] + [
        Worker(
            client,
            task_queue=lane,
            activities=of_lane[lane],
            max_concurrent_activities=places[lane],
            max_concurrent_activity_task_polls=POLLS,
            max_heartbeat_throttle_interval=HEARTBEAT_EVERY,
            **common,
        )
        for lane in lanes
    ]


def _notifications(
    storage: Storage, senders: SenderFactory, clock: Clock, drain: timedelta, places: Mapping[Lane, int]
) -> NotificationActivities:
    return NotificationActivities(
        storage.ledger,
        storage.accounts,
        senders,
        storage.hygiene,
        storage.rates,
        clock,
        storage.unsubscribe_links,
        drain=drain,
        concurrency={channel: places[Lane(channel)] for channel in Channel if Lane(channel) in places},
    )


def _forms_and_events(
    storage: Storage, analytics: Analytics, backend: Backend, announcer: Announcer
) -> dict[Lane, list[Callable[..., Any]]]:
    return {
        Lane.EVENTS: [EventActivities(storage.event_outbox, analytics.sink).ingest_events],
        Lane.SUBMISSIONS: [SubmissionActivities(storage.submission_ledger, backend, announcer).process_submission],
        Lane.PARTIALS: [PartialActivities(storage.partials, announcer).look_at_partial],
    }


def _bookkeeping(
    client: Client, storage: Storage, events: Webhooks, senders: SenderFactory, clock: Clock
) -> list[Callable[..., Any]]:
    """The short activities that run beside the workflows, whatever becomes of the lanes."""
    replays = replayer(client, storage, events, clock)
    housekeeping = HousekeepingActivities(sweepers(client, storage, events, replays, clock), storage.receipts, clock)
    devices = DeviceActivities(storage.dead_tokens, storage.unanswered, storage.receipts, storage.accounts, senders)
    notices = NoticeActivities(
        NoticeSender(storage.webhook_notices, storage.acceptance, storage.accounts, storage.webhook_acceptance, clock)
    )
    return [
        WebhookOrderActivities(storage.webhook_order).next_in_order,
        WebhookWaitingActivities(storage.webhook_waiting).next_for_endpoint,
        WebhookReplayActivities(replays).replay_page,
        housekeeping.sweep_stranded,
        housekeeping.reconcile_receipts,
        ContentActivities(storage.contents).drop_contents,
        RecordActivities(storage.records).drop_records,
        PromiseActivities(storage.promises).audit_promises,
        devices.remove_dead_devices,
        devices.poll_receipts,
        notices.send_webhook_notices,
    ]


def _webhook_ways(storage: Storage, poster: Poster, events: Webhooks, places: int) -> WebhookDependencies:
    """One endpoint never has more than half of the lane's places and requests, whatever it does."""
    return WebhookDependencies(
        ledger=storage.webhook_ledger,
        endpoints=storage.webhook_endpoints,
        health=storage.endpoint_health,
        poster=poster,
        requests=post_for,
        limiter=storage.rates,
        waiters=events.waiters,
        bulkheads=Bulkheads(max(1, places // 2), RequestSlots(places)),
    )


@asynccontextmanager
async def running(workers: Sequence[Worker]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """The workers at work, as tasks; leaving the context drains all of them at once."""
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield tasks
    finally:
        await asyncio.gather(*(worker.shutdown() for worker in workers))
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    *,
    lanes: Sequence[Lane] = LANES,
    concurrency: Mapping[Lane, int] | None = None,
    drain: timedelta | None = None,
) -> None:
    """Work until `stop` is set. Waits for servers that are not there yet; raises SchemaOutdated."""
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(open_storage(settings))
        senders = await stack.enter_async_context(open_senders(settings))
        poster = await stack.enter_async_context(open_poster(settings))
        analytics = await stack.enter_async_context(open_analytics(settings, storage.database, embedded=True))
        backend = await stack.enter_async_context(open_backend(settings))
        client = await _prepared(settings, storage, stop)
        if client is None:
            return
        await stack.enter_async_context(storage.workers.session())
        built = build_workers(
            client,
            settings,
            storage,
            senders,
            poster,
            analytics=analytics,
            backend=backend,
            lanes=lanes,
            concurrency=concurrency,
            drain=drain,
        )
        await stack.enter_async_context(analytics.preparing())
        await stack.enter_async_context(serve_health(settings, storage, analytics, client, SystemClock()))
        tune_gc()
        tasks = await stack.enter_async_context(running(built))
        _log.info("worker_ready", lanes=[lane.value for lane in lanes], settings=settings.masked())
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        _log.info("worker_stopping")
        for task in done - {stopping}:
            task.result()


async def _prepared(settings: Settings, storage: Storage, stop: asyncio.Event) -> Client | None:
    """A connected client, with search attributes and schedules in place; None where `stop` came first."""
    while not stop.is_set():
        try:
            await check_schema(storage.database)
            client = await connect(settings, lazy=False)
            await register(client)
            await schedules.apply(client)
            return client
        except (Unavailable, *TEMPORAL_ERRORS) as error:
            _log.warning("waiting_for_servers", temporal=settings.temporal_address, error=str(error)[:200])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=RETRY_START.total_seconds())
    return None


def main(
    lanes: Annotated[str, typer.Option(help="Only these lanes, like `email,sms`.")] = "",
    concurrency: Annotated[str, typer.Option(help="Requests at once by lane, like `email=5,push=10`.")] = "",
    processes: Annotated[int, typer.Option(min=1, help="Run so many worker processes.")] = 1,
    dev: Annotated[bool, typer.Option("--dev", help="Run the whole product on embedded servers.")] = False,
) -> None:
    """Deliver messages: take work from the Temporal cluster at TEMPORAL_ADDRESS, until SIGTERM."""
    if dev:
        os.execv(sys.executable, [sys.executable, "-m", "devstack"])  # noqa: S606 - ourselves
    try:
        chosen = tuple(dict.fromkeys(lane_named(name) for name in lanes.split(",") if name.strip())) or LANES
        limits = lane_numbers(concurrency)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        settings = load_settings()
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    if processes > 1 and settings.clickhouse_url is None:
        typer.echo(_NEED_A_SERVER, err=True)
        raise typer.Exit(2)
    if settings.worker_port + processes > 65_536:
        typer.echo(f"HERMOD_WORKER_PORT={settings.worker_port}: {processes} processes need as many ports", err=True)
        raise typer.Exit(2)
    configure_logging(settings.log_level, settings.log_format)
    raise_file_limit()
    if processes > 1:
        code = uvloop.run(supervise(processes, sys.argv[1:], port=settings.worker_port))
    else:
        code = uvloop.run(_until_signalled(settings, chosen, limits))
    leave(code)


async def _until_signalled(settings: Settings, lanes: Sequence[Lane], concurrency: Mapping[Lane, int]) -> int:
    stop = stop_on_signals()
    try:
        await serve(settings, stop, lanes=lanes, concurrency=concurrency)
    except (SchemaOutdated, PortTaken, WrongSearchAttributes) as error:
        _log.error("cannot_start", error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    typer.run(main)
