"""The courses of SavePartial."""

from __future__ import annotations

from temporalio.service import RPCError

from hermod.contracts.ids import partial_workflow
from hermod.storage.forms.partials import convert
from tests.support.forms.rows import add_form
from tests.support.polling import eventually
from tests.support.product import ProductFixture

SESSION = "session-1"


async def save_partial_abandoned(house: ProductFixture) -> str:
    return await _saved(house, abandon_after="PT24H")


async def save_partial_never_abandoned(house: ProductFixture) -> str:
    return await _saved(house, abandon_after=None)


async def save_partial_converted(house: ProductFixture) -> str:
    """The form is sent while the workflow waits for it to be abandoned."""
    workflow = await _saved(house, abandon_after="PT24H")
    core, tenant = house.hermod.core, house.hermod.tenant

    async def waits() -> bool:
        try:
            events = (await house.client.get_workflow_handle(workflow).fetch_history()).events
        except RPCError:
            return False
        return sum(event.HasField("timer_started_event_attributes") for event in events) == 2

    await eventually(waits)
    async with core.storage.database.begin() as connection:
        await convert(connection, tenant, "order", SESSION, "sub_1", core.clock.now())
    core.partials.converted(tenant, "order", SESSION)
    return workflow


async def _saved(house: ProductFixture, abandon_after: str | None) -> str:
    tenant = house.hermod.tenant
    await add_form(house.hermod.core.storage.database, tenant, partials={"abandon_after": abandon_after})
    await house.hermod.save_partial("order", SESSION, {"email": "ada@example.com"}, revision=1)
    return partial_workflow(tenant, "order", SESSION)
