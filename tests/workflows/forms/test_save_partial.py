"""A visitor's form with time skipped: left behind, sent in time, sent at that very moment, and sent after all."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from hermod.contracts.forms.forms import PartialReceipt, PartialStatus, PartialView
from hermod.contracts.forms.partial_steps import SavePartialResult
from hermod.contracts.ids import partial_workflow
from hermod.contracts.notifications.content import Email
from hermod.storage.forms.partials import Conversion, PartialDraft, convert
from starter.forms.journeys import journey
from starter.forms.partials import partial, resumed
from tests.support.forms.rows import add_form
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from workflows.forms.save_partial import DEBOUNCE

SECOND = timedelta(seconds=1)
REMINDER = {
    "channel": "email",
    "to": "{{ data.email }}",
    "on": "form.abandoned",
    "content": {"subject": "You left something", "text": "Go on: {{ resume_url }}"},
}
ADA = {"email": "ada@example.com"}
_sessions = itertools.count(1)


async def form(house: ProductFixture, *, abandon_after: object = "PT24H", **definition: Any) -> None:
    rules = {"abandon_after": abandon_after, "resume_url": "https://shop.example.com/go-on?form={token}"}
    await add_form(house.hermod.core.storage.database, house.hermod.tenant, partials=rules, **definition)


def new_session() -> str:
    return f"session-{next(_sessions)}"


async def save(house: ProductFixture, session: str, revision: int) -> PartialReceipt:
    return await house.hermod.save_partial("order", session, ADA, revision=revision, contact=f"contact-{session}")


async def view(house: ProductFixture, session: str) -> PartialView:
    return await partial(house.hermod, "order", session)


async def sent(house: ProductFixture, session: str) -> Conversion | None:
    """The visitor has sent the form."""
    core, tenant = house.hermod.core, house.hermod.tenant
    async with core.storage.database.begin() as connection:
        conversion = await convert(connection, tenant, "order", session, "sub_1", core.clock.now())
    core.partials.converted(tenant, "order", session)
    return conversion


def handle(house: ProductFixture, session: str) -> WorkflowHandle[Any, SavePartialResult]:
    workflow = partial_workflow(house.hermod.tenant, "order", session)
    return house.client.get_workflow_handle(workflow, result_type=SavePartialResult)


async def result(house: ProductFixture, session: str) -> SavePartialResult:
    async def ended() -> SavePartialResult | None:
        own = handle(house, session)
        try:
            running = (await own.describe()).status is WorkflowExecutionStatus.RUNNING
        except RPCError:
            return None
        return None if running else await own.result()

    return await eventually(ended)


async def history(house: ProductFixture, session: str) -> Sequence[HistoryEvent]:
    try:
        return (await handle(house, session).fetch_history()).events
    except RPCError:
        return ()


async def waits(house: ProductFixture, session: str) -> None:
    """Until the workflow waits for the form to be abandoned."""

    async def two_timers() -> bool:
        events = await history(house, session)
        return sum(event.HasField("timer_started_event_attributes") for event in events) == 2

    await eventually(two_timers)


async def kinds(house: ProductFixture, session: str) -> list[str]:
    return [step.kind for step in (await journey(house.hermod, session)).steps]


async def test_form_that_is_left_is_abandoned_once_and_its_visitor_reminded(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main")
    await form(skipping, on_submit={"notifications": [REMINDER]})
    session = new_session()
    token = (await save(skipping, session, 1)).resume_token
    assert await result(skipping, session) == SavePartialResult(
        status=PartialStatus.ABANDONED, revision=1, abandonments=1
    )
    left = await view(skipping, session)
    assert left.abandoned_at is not None
    assert left.abandoned_at - left.updated_at >= timedelta(hours=24)

    await eventually(lambda: len(script.sent) == 1)
    content = script.sent[0].content
    assert isinstance(content, Email)
    assert content.text is not None
    assert content.text.endswith(f"https://shop.example.com/go-on?form={token}")
    assert (await resumed(skipping.hermod.core, token)).data == ADA

    conversion = await sent(skipping, session)
    assert conversion is not None
    assert conversion.is_recovered
    found = await eventually(lambda: _with(skipping, session, "message.sent"))
    assert set(found) == {"form.partial", "form.abandoned", "message.accepted", "message.sent", "form.recovered"}


async def _with(house: ProductFixture, session: str, kind: str) -> list[str] | None:
    found = await kinds(house, session)
    return found if kind in found else None


async def test_form_that_is_sent_in_time_is_never_abandoned(house: ProductFixture) -> None:
    await form(house)
    session = new_session()
    await save(house, session, 1)
    await waits(house, session)
    await sent(house, session)
    assert await result(house, session) == SavePartialResult(status=PartialStatus.CONVERTED, revision=1, abandonments=0)


async def test_submission_under_way_at_the_very_moment_wins_over_the_abandonment(skipping: ProductFixture) -> None:
    """The look finds the partial due, and waits for the submission's transaction to end."""
    await form(skipping)
    core, tenant, session = skipping.hermod.core, skipping.hermod.tenant, new_session()
    draft = PartialDraft(form="order", session=session, revision=1, data=ADA)
    await core.storage.partials.save(tenant, [draft], core.clock.now() - timedelta(hours=25))
    async with core.storage.database.begin() as connection:
        await convert(connection, tenant, "order", session, "sub_1", core.clock.now())
        sweep = asyncio.create_task(core.partials.sweep())
        await eventually(lambda: _is_blocked(skipping))
    assert (await sweep).restarted == 1, "nobody had woken its workflow"
    assert await result(skipping, session) == SavePartialResult(
        status=PartialStatus.CONVERTED, revision=1, abandonments=0
    )
    assert "form.abandoned" not in await kinds(skipping, session)


async def _is_blocked(house: ProductFixture) -> bool:
    statement = text("""
        SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
           AND query LIKE '%UPDATE form_partials SET status = ''abandoned''%'
    """)
    return bool(await house.hermod.core.storage.database.rows(statement, {}))


async def test_change_whose_signal_was_lost_moves_the_abandonment(house: ProductFixture) -> None:
    await form(house, abandon_after=3)
    core, tenant, session = house.hermod.core, house.hermod.tenant, new_session()
    await save(house, session, 1)
    await waits(house, session)
    draft = PartialDraft(form="order", session=session, revision=2, data=ADA)
    await core.storage.partials.save(tenant, [draft], core.clock.now())
    assert (await result(house, session)).revision == 2
    left = await view(house, session)
    assert left.abandoned_at is not None
    assert left.abandoned_at - left.updated_at >= 3 * SECOND


async def test_visitor_who_types_wakes_the_workflow_once_a_pause_and_is_told_of_once(house: ProductFixture) -> None:
    await form(house)
    session, begun = new_session(), time.monotonic()
    for first in range(1, 30, 3):
        await asyncio.gather(*(save(house, session, revision) for revision in range(first, first + 3)))
    pauses = 1 + (time.monotonic() - begun) // DEBOUNCE.total_seconds()  # that a slow machine has between two saves
    await waits(house, session)
    events = await history(house, session)
    signals = sum(event.HasField("workflow_execution_signaled_event_attributes") for event in events)
    looks = sum(event.HasField("activity_task_completed_event_attributes") for event in events)
    assert 1 <= looks <= signals <= pauses
    assert (await view(house, session)).revision == 30
    assert await kinds(house, session) == ["form.partial"]
    await sent(house, session)
    await result(house, session)


async def test_form_without_a_time_for_it_is_told_of_and_never_abandoned(skipping: ProductFixture) -> None:
    await form(skipping, abandon_after=None)
    session = new_session()
    for revision in (1, 2):
        await save(skipping, session, revision)
        wanted = SavePartialResult(status=PartialStatus.OPEN, revision=revision, abandonments=0)

        async def is_told_of(wanted: SavePartialResult = wanted) -> bool:
            # The last run's result, until the new revision has its own.
            return await result(skipping, session) == wanted

        await eventually(is_told_of)
