"""SIGKILL to the worker between the steps of a submission: each step is made, and what it makes is there once."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from hermod.contracts.forms.forms import SubmissionStatus
from hermod.contracts.ids import submission_workflow
from hermod.contracts.webhooks.deliveries import EndpointSettings
from starter.forms.journeys import journey
from starter.webhooks.deliveries import deliveries
from starter.webhooks.endpoints import create_endpoint
from tests.faults.conftest import Scene
from tests.support.forms.backends import own_backend
from tests.support.forms.product import add_form, ended, submitted, told
from tests.support.hostile import Hostile
from tests.support.polling import eventually

SESSION = "session-12345678"
WELCOME = {"channel": "email", "to": "{{ data.email }}", "content": {"subject": "Welcome", "text": "Good to see you"}}
_BLOCKED = text("""
    SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND relation = 'journey_steps'::regclass
""")


async def test_worker_killed_between_steps_the_submission_is_saved_and_told_once(
    scene: Scene, receiver: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, database = scene.house, scene.house.hermod.core.storage.database
    await scene.add_sandbox_account()
    await create_endpoint(house.hermod, EndpointSettings(url=receiver.url, event_types=("submission.*",)))
    await add_form(house, on_submit={"notifications": [WELCOME]})
    async with own_backend() as backend:
        monkeypatch.setenv("API_URL", backend.url)
        monkeypatch.setenv("API_TOKEN", "token")
        first = await scene.cluster.start_worker()
        backend.answers.clear()
        own = await submitted(house, session=SESSION)
        workflow = submission_workflow(house.hermod.tenant, own)
        # The backend has it, and the worker dies before it hears so.
        await eventually(lambda: len(backend.calls) == 1)
        await scene.kill(first, workflow)
        backend.answers.set()
        async with database.begin() as connection:
            await connection.execute(text("LOCK TABLE journey_steps IN ACCESS EXCLUSIVE MODE"))
            second = await scene.cluster.start_worker()

            async def half_told() -> bool:
                """Webhook and message are handed over; analytics and journey are not written yet."""
                return (await connection.execute(_BLOCKED)).one().n > 0

            await eventually(half_told)
            await scene.kill(second, workflow)
        await scene.cluster.start_worker()
        await ended(house, own, SubmissionStatus.COMPLETED, within=30)
    assert [headers["idempotency-key"] for headers, _ in backend.calls] == [own, own]
    assert backend.kept == {own: 1}
    assert await told(house, own) == ["submission.completed"]
    assert len((await deliveries(house.hermod)).items) == 1
    (message,) = (await house.hermod.messages()).items
    await house.ended(message.id)
    assert list((await scene.received("sandbox")).values()) == [1]
    kinds = [step.kind for step in (await journey(house.hermod, SESSION)).steps]
    assert kinds.count("submission.completed") == 1
