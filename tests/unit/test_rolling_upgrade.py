"""While workers of two versions run side by side, each reads what the other one writes into a history.

A worker of the released version refuses fields that it does not know. So a field added since is left out of what is
written as long as it says nothing: `exclude_if` of the field.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from pydantic import ConfigDict, create_model
from temporalio import activity
from temporalio.contrib.pydantic import pydantic_data_converter

from hermod.contracts.values.model import Model
from tests.unit.test_wire_names import ACTIVITY_CLASSES
from worker import WORKFLOW_CLASSES

RELEASED: Final = {
    "EndpointGroup": "endpoint due_at deliveries",
    "CancelInput": "tenant messages reason",
    "DeliverWebhookInput": "tenant delivery taken_from due_at",
    "DeliverWebhooksInput": "tenant batch endpoint deliveries taken_from due_at",
    "DeliveryInput": "tenant channel messages taken_from",
    "DeliveryReport": "run counts leaving apart reason",
    "DeliveryResult": "counts",
    "DeviceReport": "removed kept",
    "HeadOfLine": "delivery blocked_by",
    "IngestEventsInput": "tenant batch",
    "IngestInput": "tenant insert",
    "IngestReport": "events inserts more",
    "IngestResult": "events rounds",
    "LineResult": "made",
    "NoticeReport": "announced written",
    "OrderedEndpointInput": "tenant endpoint key",
    "PartialLook": "status revision abandonments seconds has_changed",
    "PollReport": "asked told failed",
    "ProcessSubmissionInput": "tenant submission",
    "RecordReport": "dropped",
    "ReplayDeliveriesInput": "tenant replay",
    "ReplayResult": "status begun",
    "ReplayStep": "status begun matching seconds",
    "ReplayStepInput": "tenant replay wanted",
    "RetentionReport": "dropped",
    "SavePartialInput": "tenant form session",
    "SavePartialResult": "status revision abandonments",
    "SendBatchInput": "tenant batch channel messages due_at",
    "SendNotificationInput": "tenant message channel due_at taken_from",
    "SettleReport": "settled waiting given_up",
    "SubmissionResult": "status",
    "SubmissionStep": "status wait_until run reason",
    "SweepReport": "started restarted buried",
    "WebhookOrder": "tenant deliveries taken_from",
}
"""The fields of what workflows and activities of the released version read and write, by the names of today."""

VALUES: Final = {
    "channel": "email",
    "counts": {},
    "due_at": datetime(2026, 1, 1, tzinfo=UTC),
    "messages": (),
    "deliveries": (),
    "more": False,
    **dict.fromkeys(("events", "inserts", "rounds", "made", "begun", "matching", "revision", "abandonments"), 0),
    **dict.fromkeys(("announced", "written", "asked", "told", "failed", "removed", "kept"), 0),
    **dict.fromkeys(("settled", "waiting", "given_up"), 0),
}
"""Of required fields; any other one is a text."""
STATUS: Final = {
    "PartialLook": "open",
    "ReplayResult": "done",
    "ReplayStep": "done",
    "SavePartialResult": "open",
    "SubmissionResult": "completed",
    "SubmissionStep": "completed",
}


def _contracts(annotation: Any) -> Iterator[type[Model]]:
    """The models in an annotation, and in those."""
    for part in typing.get_args(annotation):
        yield from _contracts(part)
    if inspect.isclass(annotation) and issubclass(annotation, Model):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _contracts(field.annotation)


def contracts() -> dict[str, type[Model]]:
    """Whatever a workflow or an activity takes or answers, by name."""
    steps = [kind.run for kind in WORKFLOW_CLASSES]
    for kind in ACTIVITY_CLASSES:
        found = [step for _, step in inspect.getmembers(kind, inspect.isfunction)]
        steps += [step for step in found if activity._Definition.from_callable(step) is not None]
    annotations = [one for step in steps for one in typing.get_type_hints(step).values()]
    return {model.__name__: model for one in annotations for model in _contracts(one)}


CONTRACTS: Final = contracts()


def test_every_contract_that_was_released_is_there() -> None:
    assert RELEASED.keys() <= CONTRACTS.keys()


@pytest.mark.parametrize("name", sorted(RELEASED))
def test_contract_with_nothing_new_to_say_is_read_by_the_released_version(name: str) -> None:
    model = CONTRACTS[name]
    required = {field: VALUES.get(field, "x") for field, info in model.model_fields.items() if info.is_required()}
    if "status" in required:
        required["status"] = STATUS[name]
    (payload,) = pydantic_data_converter.payload_converter.to_payloads([model.model_validate(required)])
    released = create_model(  # type: ignore[call-overload]
        name, __config__=ConfigDict(extra="forbid"), **dict.fromkeys(RELEASED[name].split(), (Any, None))
    )
    (read,) = pydantic_data_converter.payload_converter.from_payloads([payload], [released])
    assert read.model_dump(include=required) == {one: json.loads(payload.data)[one] for one in required}
