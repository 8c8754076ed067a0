"""The names by which running workflows find their code. A change here is a change that every open workflow feels."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

from temporalio import activity, workflow

from activities.analytics.events import EventActivities
from activities.forms.partials import PartialActivities
from activities.forms.submissions import SubmissionActivities
from activities.housekeeping.contents import ContentActivities
from activities.housekeeping.devices import DeviceActivities
from activities.housekeeping.promises import PromiseActivities
from activities.housekeeping.records import RecordActivities
from activities.housekeeping.sweeping import HousekeepingActivities
from activities.notifications.activities import NotificationActivities
from activities.webhooks.activities import WebhookActivities
from activities.webhooks.notices import NoticeActivities
from activities.webhooks.ordering import WebhookOrderActivities
from activities.webhooks.replays import WebhookReplayActivities
from activities.webhooks.waiting import WebhookWaitingActivities
from worker import WORKFLOW_CLASSES, workflow_runner
from workflows.search_attributes import SEARCH_ATTRIBUTES

ACTIVITY_CLASSES = (
    NotificationActivities,
    HousekeepingActivities,
    ContentActivities,
    RecordActivities,
    PromiseActivities,
    SubmissionActivities,
    PartialActivities,
    DeviceActivities,
    NoticeActivities,
    WebhookActivities,
    WebhookOrderActivities,
    WebhookReplayActivities,
    WebhookWaitingActivities,
    EventActivities,
)


def test_workflow_names_and_updates_are_as_released() -> None:
    found = {}
    for kind in WORKFLOW_CLASSES:
        definition = workflow._Definition.must_from_class(kind)
        found[definition.name] = sorted(name or "" for name in definition.updates)
    assert found == {
        "SendNotification": ["cancel"],
        "SendBatch": ["cancel"],
        "DeliverWebhook": ["cancel"],
        "DeliverWebhooks": ["cancel"],
        "DrainEndpoint": [],
        "OrderedEndpoint": [],
        "ReplayDeliveries": [],
        "IngestEvents": [],
        "ProcessSubmission": [],
        "SavePartial": [],
        "SweepStranded": [],
        "DropContents": [],
        "DropRecords": [],
        "AuditPromises": [],
        "ReconcileReceipts": [],
        "PollReceipts": [],
        "RemoveDeadDevices": [],
        "SendWebhookNotices": [],
    }


def test_signals_and_queries_are_as_released() -> None:
    found = {}
    for kind in WORKFLOW_CLASSES:
        definition = workflow._Definition.must_from_class(kind)
        if definition.signals or definition.queries:
            found[definition.name] = sorted(filter(None, [*definition.signals, *definition.queries]))
    assert found == {
        "SendNotification": ["retry_now", "story"],
        "SendBatch": ["retry_now", "story"],
        "DeliverWebhook": ["retry_now", "story"],
        "DeliverWebhooks": ["retry_now", "story"],
        "DrainEndpoint": ["look_again", "story"],
        "OrderedEndpoint": ["let_go", "look_again", "story"],
        "ReplayDeliveries": ["cancel", "pause", "progress", "resume"],
        "ProcessSubmission": ["look_again", "story"],
        "SavePartial": ["look_again"],
    }


def activity_names() -> set[str | None]:
    found = set()
    for kind in ACTIVITY_CLASSES:
        for _, method in inspect.getmembers(kind, inspect.isfunction):
            definition = activity._Definition.from_callable(method)
            if definition is not None:
                found.add(definition.name)
    return found


def test_activity_names_are_as_released() -> None:
    assert activity_names() == {
        "deliver",
        "withdraw",
        "sweep_stranded",
        "drop_contents",
        "drop_records",
        "audit_promises",
        "reconcile_receipts",
        "poll_receipts",
        "remove_dead_devices",
        "send_webhook_notices",
        "deliver_webhooks",
        "withdraw_webhooks",
        "next_in_order",
        "next_for_endpoint",
        "process_submission",
        "look_at_partial",
        "replay_page",
        "ingest_events",
    }


async def test_every_workflow_loads_in_the_sandbox() -> None:
    runner = workflow_runner()
    for kind in WORKFLOW_CLASSES:
        runner.prepare_workflow(workflow._Definition.must_from_class(kind))


def test_every_activity_that_a_workflow_calls_is_registered() -> None:
    fingerprints = Path(__file__).parents[1] / "replay" / "fingerprints.json"
    commands = {command for commands in json.loads(fingerprints.read_text()).values() for command in commands}
    called = {command.split()[1] for command in commands if command.startswith("activity ")}
    assert called == activity_names()


def test_search_attributes_are_as_released_and_within_the_limit_of_sql_stores() -> None:
    names = [key.name for key in SEARCH_ATTRIBUTES]
    assert names == ["HermodTenant", "HermodChannel", "HermodStatus", "HermodCampaign", "HermodRequestId"]
    assert len(names) <= 10
