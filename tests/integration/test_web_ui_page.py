"""What docs/web-ui.md says of Temporal's Web UI is so: its views are queries, and its event is there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus

from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.outcomes import Accepted, MessageRejected
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.resetting import reset

PAGE = (Path(__file__).parents[2] / "docs" / "web-ui.md").read_text()
VIEWS = re.findall(r"\[([^]]+)\]\((http\S+/workflows\?\S+)\) \| `([^`]+)`", PAGE)


def test_page_has_its_views() -> None:
    assert len(VIEWS) == PAGE.count("/workflows?query=")


@pytest.mark.parametrize(("link", "query"), [view[1:] for view in VIEWS], ids=[view[0] for view in VIEWS])
async def test_view_is_the_query_beside_it_and_the_server_understands_it(
    temporal: Client, link: str, query: str
) -> None:
    assert parse_qs(urlsplit(link).query) == {"query": [query]}
    assert (await temporal.count_workflows(query)).count >= 0


async def test_dead_letter_is_reset_to_the_event_that_the_page_names(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    skipping.script("main", MessageRejected(status_code=400), Accepted())
    view = await skipping.ended((await skipping.hermod.send(Email(to="a@example.com", subject="s", text="t"))).id)
    handle = skipping.client.get_workflow_handle(view.workflow_id)

    async def failed() -> bool:
        return (await handle.describe()).status is WorkflowExecutionStatus.FAILED

    await eventually(failed)
    completed = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    first = next(one.event_id for one in (await handle.fetch_history()).events if one.event_type == completed)
    assert f"**event {first}** in every run" in PAGE
    await reset(skipping.client, view.workflow_id, to_last=False)
    await skipping.reached(view.id, Status.SENT)
