"""One record fails alone: whatever is wrong with it, the others of its call, batch or shared statement are taken."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from hermod.contracts.analytics.events import TrackedEvent
from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Attachment, Email
from hermod.contracts.notifications.messages import Options, Submission
from tests.integration.api.conftest import EMAIL, Api, assert_problem

NEVER = "9999-12-31T23:59:59.9999999Z"
BEYOND = ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"]
GOOD = Email(to="ada@example.com", subject="Hello", text="It works")

SPOILED: list[dict[str, Any]] = [
    {"not_after": BEYOND[0]},
    {"send_at": BEYOND[1]},
    {"priority": True},
    {"subject": "a\0b"},
    {"text": "a\0b"},
    {"html": "<p>\0</p>"},
    {"metadata": {"a": "\0"}},
    {"data": {"a": {"\0": 1}}},
    {"template": "a\0b", "text": None},
]


@pytest.mark.parametrize("changes", SPOILED, ids=str)
async def test_batch_of_five_has_a_spoiled_one_in_the_middle_takes_four(api: Api, changes: dict[str, Any]) -> None:
    messages = [EMAIL, EMAIL, EMAIL | changes, EMAIL, EMAIL]
    response = await api.client.post("/v1/messages/batch", json={"messages": messages})
    assert response.status_code == 202, response.text
    answer = response.json()
    assert (answer["accepted"], [one["index"] for one in answer["rejected"]]) == (4, [2])
    assert answer["rejected"][0]["errors"][0]["field"].split(".")[0] in changes
    assert await api.stored() == 4


@pytest.mark.parametrize("changes", SPOILED, ids=str)
async def test_single_call_is_spoiled_those_beside_it_are_taken(api: Api, changes: dict[str, Any]) -> None:
    answers = await asyncio.gather(*(api.send(EMAIL | (changes if number == 2 else {})) for number in range(5)))
    assert [answer.status_code for answer in answers] == [202, 202, 422, 202, 202]
    assert_problem(answers[2], 422, "invalid-input")
    assert await api.stored() == 4


async def test_message_never_expires_is_taken_as_it_was_said(api: Api) -> None:
    (
        await api.client.post("/v1/messages/batch", json={"messages": [EMAIL, EMAIL | {"not_after": NEVER}]})
    ).raise_for_status()
    sent = await api.sent(not_after=NEVER)
    story = (await api.client.get(f"/v1/messages/{sent}")).json()
    assert story["not_after"] == "9999-12-31T23:59:59.999999Z"


UNCHECKED: list[dict[str, Any]] = [
    {"subject": "Hi\nx"},
    {"to": "nobody"},
    {"to": 5},
    {"cc": ("x",)},
    {"text": None},
    {"text": "half of a pair: \ud800"},
    {"headers": {"Subject": "x"}},
    {"data": {"n": float("inf")}},
    {"data": {"at": datetime(2030, 1, 1)}},  # noqa: DTZ001
    {"attachments": (Attachment(filename="a", content_base64="eA==").model_copy(update={"filename": "a\n"}),)},
    {"subjekt": "x"},
]


@pytest.mark.parametrize("changes", UNCHECKED, ids=str)
async def test_copy_of_a_model_is_wrong_it_alone_is_rejected(api: Api, changes: dict[str, Any]) -> None:
    wrong = GOOD.model_copy(update=changes)
    receipt = await api.hermod.send_many([GOOD, GOOD, wrong, GOOD, Submission(content=GOOD)])
    assert [one.index for one in receipt.rejected] == [2]
    assert receipt.rejected[0].errors[0].field.split(".")[0] in changes
    assert len(receipt.receipts) == await api.stored() == 4
    with pytest.raises(InvalidInput):
        await api.hermod.send(wrong)
    async with api.hermod.core.storage.database.begin() as connection:
        with pytest.raises(InvalidInput):
            await api.hermod.stage(connection, wrong)


async def test_copy_of_options_is_wrong_it_alone_is_rejected(api: Api) -> None:
    wrong = [
        Options().model_copy(update={"not_after": datetime(2030, 1, 1)}),  # noqa: DTZ001 - that is what is wrong
        Options().model_copy(update={"not_after": datetime.max.replace(tzinfo=timezone(-timedelta(hours=14)))}),
        Options().model_copy(update={"priority": 99}),
    ]
    asked = [Submission(content=GOOD).model_copy(update={"options": options}) for options in wrong]
    receipt = await api.hermod.send_many([GOOD, *asked, GOOD])
    assert [one.index for one in receipt.rejected] == [1, 2, 3]
    assert await api.stored() == 2


async def test_time_of_the_application_is_the_last_one_is_taken(api: Api) -> None:
    sent = await api.hermod.send(GOOD, not_after=datetime.max.replace(tzinfo=UTC))
    assert (await api.hermod.status(sent.id)).not_after == datetime.max.replace(tzinfo=UTC)


async def test_shared_statement_is_spoiled_only_the_one_call_gets_the_error(api: Api) -> None:
    """A request id is the application's own; nobody but the database looks into it."""
    calls = [api.hermod.send(GOOD, request_id="a\0b" if number == 2 else f"r{number}") for number in range(5)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, InvalidInput) for answer in answers] == [False, False, True, False, False], answers
    assert await api.stored() == 4


async def test_shared_statement_of_events_is_spoiled_only_the_one_call_gets_the_error(api: Api) -> None:
    calls = [api.hermod.emit("a.b", {"n": 1}, request_id="a\0b" if number == 2 else None) for number in range(5)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, InvalidInput) for answer in answers] == [False, False, True, False, False], answers
    assert len(await api.rows("SELECT id FROM webhook_events WHERE tenant_id = :tenant")) == 4


TRACKED = TrackedEvent(type="a.b", properties={"n": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "a.b", "occurred_at": BEYOND[0]},
        {"type": "a.b", "occurred_at": BEYOND[1]},
        {"type": "a.b", "occurred_at": NEVER},
        {"type": "a.b", "properties": {"a": "\0"}},
        {"type": "a.b", "properties": {"a": "\ud800"}},
        {"type": "a.b", "properties": {"a": float("nan")}},
        {"type": "a.b", "properties": {"a": 2**70}},
        TRACKED.model_copy(update={"occurred_at": datetime(2026, 1, 1)}),  # noqa: DTZ001
        TRACKED.model_copy(update={"type": "a\0b"}),
        TRACKED.model_copy(update={"properties": None}),
        TRACKED.model_copy(update={"contact": 5}),
    ],
    ids=str,
)
async def test_tracked_event_is_wrong_the_others_are_taken(api: Api, wrong: Any) -> None:
    good = {"type": "a.b", "properties": {"n": 1}}
    receipt = await api.hermod.track_many([good, TRACKED, wrong, good, TRACKED])
    assert (receipt.accepted, [one.index for one in receipt.rejected]) == (4, [2])
