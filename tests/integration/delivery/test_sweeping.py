"""The sweeper finds what nobody is working on: forgotten starts, lost workflows, and workflows closed from outside."""

from __future__ import annotations

from sqlalchemy import text

from hermod.contracts.content import Email
from hermod.contracts.messages import MessageView, Status
from hermod.storage.orphaned_messages import OrphanedMessage
from starter.orphans import MessageWorkflows
from starter.sweeping import LedgerSweeper
from tests.support.product import House

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


def sweeper(house: House) -> LedgerSweeper[OrphanedMessage]:
    core = house.hermod.core
    return LedgerSweeper(core.storage.orphaned_messages, MessageWorkflows(core.dispatcher), core.temporal, core.clock)


async def waiting_message(house: House) -> MessageView:
    """A message that waits for an account, a minute at a time."""
    await house.add_account("off", enabled=False)
    return await house.reached((await house.hermod.send(LETTER)).id, Status.DEFERRED)


async def as_if_untouched_for_an_hour(house: House, message: str, workflow_id: str | None = None) -> None:
    await house.hermod.core.storage.database.execute(
        text("""
            UPDATE messages SET updated_at = now() - interval '1 hour', next_attempt_at = now() - interval '1 hour',
                   workflow_id = coalesce(CAST(:workflow AS text), workflow_id)
             WHERE id = :message
        """),
        {"message": message, "workflow": workflow_id},
    )


async def test_message_whose_workflow_was_terminated_is_a_dead_letter_that_says_so(house: House) -> None:
    view = await waiting_message(house)
    await house.client.get_workflow_handle(view.workflow_id).terminate("by a test")
    await as_if_untouched_for_an_hour(house, view.id)
    assert (await sweeper(house).sweep()).buried == 1
    buried = await house.hermod.status(view.id)
    assert buried.status is Status.FAILED
    assert buried.error == "its workflow was closed as terminated without finishing it"
    await house.add_account("main", order=1)
    await house.hermod.retry(view.id)
    await house.reached(view.id, Status.SENT)


async def test_message_whose_workflow_is_unknown_to_temporal_gets_a_new_one(house: House) -> None:
    view = await waiting_message(house)
    await house.client.get_workflow_handle(view.workflow_id).terminate("by a test")
    await house.add_account("main", order=1)
    lost = f"message/{house.hermod.tenant}/lost-with-temporals-data"
    await as_if_untouched_for_an_hour(house, view.id, lost)
    assert (await sweeper(house).sweep()).restarted == 1
    sent = await house.reached(view.id, Status.SENT)
    assert sent.workflow_id == lost


async def test_message_whose_workflow_runs_is_left_alone_and_not_looked_at_again(house: House) -> None:
    view = await waiting_message(house)
    await as_if_untouched_for_an_hour(house, view.id)
    report = await sweeper(house).sweep()
    assert (report.restarted, report.buried) == (0, 0)
    touched = await house.hermod.status(view.id)
    assert touched.updated_at > view.updated_at
    await house.hermod.cancel(view.id)
