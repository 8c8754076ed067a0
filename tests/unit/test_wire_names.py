"""The names by which running workflows find their code. A change here is a change that every open workflow feels."""

from __future__ import annotations

import inspect

from temporalio import activity, workflow

from activities.housekeeping import HousekeepingActivities
from activities.notifications import NotificationActivities
from worker import WORKFLOW_CLASSES
from workflows.search_attributes import SEARCH_ATTRIBUTES


def test_workflow_names_and_updates_are_as_released() -> None:
    found = {}
    for kind in WORKFLOW_CLASSES:
        definition = workflow._Definition.must_from_class(kind)
        found[definition.name] = sorted(name or "" for name in definition.updates)
    assert found == {"SendNotification": ["cancel"], "SendBatch": ["cancel"], "SweepStranded": []}


def test_activity_names_are_as_released() -> None:
    found = set()
    for kind in (NotificationActivities, HousekeepingActivities):
        for _, method in inspect.getmembers(kind, inspect.isfunction):
            definition = activity._Definition.from_callable(method)
            if definition is not None:
                found.add(definition.name)
    assert found == {"deliver", "withdraw", "sweep_stranded"}


def test_search_attributes_are_as_released_and_within_the_limit_of_sql_stores() -> None:
    names = [key.name for key in SEARCH_ATTRIBUTES]
    assert names == ["HermodTenant", "HermodChannel", "HermodStatus", "HermodCampaign", "HermodRequestId"]
    assert len(names) <= 10
