"""One record that cannot be read as it is stored ends alone, with its reason; those of its batch are sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from temporalio.service import RPCError

from activities import errors
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Status
from hermod.domain.states import OPEN
from tests.support.polling import eventually
from tests.support.product import ProductFixture

BROKEN = {
    "half of a JSON": b'{"to": "ada@example.com", ',
    "no content of its channel": b'{"channel": "email", "subject": "a"}',
    "a type that it had never": b'{"to": 5, "subject": ["a"], "text": "b"}',
    "bytes": b"\xff\xfe",
    "sealed for nobody": b"\x01" + bytes(40),
    "cut off": b"\x01abc",
    "nothing": b"",
}


async def _batch(house: ProductFixture) -> list[str]:
    """Five messages that share a workflow, which begins them in a moment."""
    await house.add_account("main")
    at = house.hermod.core.clock.now() + timedelta(seconds=2)
    contents = [Email(to=f"ada{number}@example.com", subject="Hello", text="It works") for number in range(5)]
    receipt = await house.hermod.send_many(contents, send_at=at)
    assert len({one.workflow_id for one in receipt.receipts}) == 1
    return [one.id for one in receipt.receipts]


async def _change(house: ProductFixture, statement: str, **values: Any) -> None:
    names = {"tenant": house.hermod.tenant} | values
    assert await house.hermod.core.storage.database.execute(text(statement), names) == 1


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
async def test_content_cannot_be_read_the_other_four_are_sent(house: ProductFixture, body: bytes) -> None:
    core = house.hermod.core
    await core.storage.contents.set_policy(
        house.hermod.tenant, encrypts=True, days=30, actor="test", now=core.clock.now()
    )
    messages = await _batch(house)
    statement = "UPDATE message_contents SET body = :body WHERE tenant_id = :tenant AND message_id = :id"
    await _change(house, statement, id=messages[2], body=body)
    for message in (*messages[:2], *messages[3:]):
        await house.reached(message, Status.SENT)
    ended = await house.ended(messages[2])
    assert (ended.status, ended.error_code) == (Status.FAILED, "unreadable")
    assert "cannot be read" in (ended.error or "")
    assert ended.decisions[-1].reason == ended.error
    assert "ada" not in (ended.error or "")


@pytest.mark.parametrize("column", ["not_after", "next_attempt_at"])
async def test_time_is_infinite_it_is_sent_with_the_others(house: ProductFixture, column: str) -> None:
    messages = await _batch(house)
    value = "infinity" if column == "not_after" else "-infinity"
    statement = f"UPDATE messages SET {column} = '{value}' WHERE tenant_id = :tenant AND id = :id"
    await _change(house, statement, id=messages[2])
    for message in messages:
        await house.reached(message, Status.SENT)


async def test_content_has_a_field_of_a_later_version_it_is_sent_by_a_worker_that_knows_it(
    house: ProductFixture,
) -> None:
    await house.add_account("main")
    at = house.hermod.core.clock.now() + timedelta(seconds=1)
    sent = await house.hermod.send(Email(to="ada@example.com", subject="Hello", text="It works"), send_at=at)
    row = "tenant_id = :tenant AND message_id = :id"
    database = house.hermod.core.storage.database
    (kept,) = await database.rows(
        text(f"SELECT body FROM message_contents WHERE {row}"), {"tenant": house.hermod.tenant, "id": sent.id}
    )
    newer = orjson.dumps(orjson.loads(kept.body) | {"mood": "glad"})
    await _change(house, f"UPDATE message_contents SET body = :body WHERE {row}", id=sent.id, body=newer)

    async def waits() -> str | None:
        try:
            told = await house.hermod.core.temporal.get_workflow_handle(sent.workflow_id).describe()
        except RPCError:  # not started yet
            return None
        for pending in told.raw_description.pending_activities:
            if pending.last_failure.application_failure_info.type == errors.NEWER_RECORD:
                return str(pending.last_failure.message)
        return None

    assert "glad" not in await eventually(waits)
    assert (await house.hermod.status(sent.id)).status in OPEN
    # The newer worker reads it.
    await _change(house, f"UPDATE message_contents SET body = :body WHERE {row}", id=sent.id, body=kept.body)
    await house.reached(sent.id, Status.SENT)


async def test_message_alone_cannot_be_read_it_ends_and_can_be_retried(house: ProductFixture) -> None:
    await house.add_account("main")
    at = house.hermod.core.clock.now() + timedelta(seconds=2)
    sent = await house.hermod.send(Email(to="ada@example.com", subject="Hello", text="It works"), send_at=at)
    row = "tenant_id = :tenant AND message_id = :id"
    (kept,) = await house.hermod.core.storage.database.rows(
        text(f"SELECT body FROM message_contents WHERE {row}"),
        {"tenant": house.hermod.tenant, "id": sent.id},
    )
    await _change(house, f"UPDATE message_contents SET body = :body WHERE {row}", id=sent.id, body=b"{")
    assert (await house.ended(sent.id)).error_code == "unreadable"
    await _change(house, f"UPDATE message_contents SET body = :body WHERE {row}", id=sent.id, body=kept.body)
    await house.hermod.retry(sent.id)
    await house.reached(sent.id, Status.SENT)
