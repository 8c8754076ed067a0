"""Steps of the same moment are told in the order in which they can only have happened."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.storage.database.engine import Database
from hermod.storage.operations.journeys import Journeys, Step, note
from tests.integration.storage.reporting import NOW, Office, event

H = ReceiptEventType
TOLD = (H.DELIVERED, H.OPENED, H.CLICKED, H.COMPLAINED, H.UNSUBSCRIBED)


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    database = Database(database_url)
    yield Office(database)
    await database.close()


async def test_whole_way_of_a_message_within_one_second_is_told_in_order(office: Office) -> None:
    """Many a provider tells times by the second."""
    messages = [await office.message(Status.SENT) for _ in range(3)]
    noted = [Step(at=NOW, kind="form.partial", session="s", reference="s", form="f")]
    noted += [Step(at=NOW, kind="message.accepted", session="s", reference=one, form="f") for one in messages]
    async with office.database.begin() as connection:
        await note(connection, office.tenant, noted)
    for kind in reversed(TOLD):
        await office.take(*(event(kind, one, at=NOW) for one in messages))
    steps = (await Journeys(office.database).view(office.tenant, "s")).steps
    assert [step.kind for step in steps[:4]] == [step.kind for step in noted]
    assert [step.reference for step in steps[1:4]] == messages
    for message in messages:
        kinds = [step.kind for step in steps[4:] if step.reference == message]
        assert kinds == ["message.sent", *(f"message.{kind.value}" for kind in TOLD)]
