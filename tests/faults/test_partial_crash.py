"""SIGKILL to the worker while forms wait to be abandoned: each reminder goes once, and none to who sent theirs."""

from __future__ import annotations

from sqlalchemy import text

from tests.faults.conftest import Scene
from tests.support.forms.rows import add_form
from tests.support.polling import eventually

REMINDER = {
    "channel": "email",
    "to": "{{ data.email }}",
    "on": "form.abandoned",
    "content": {"subject": "You left something", "text": "Come back"},
}
VISITORS = 6


async def test_worker_killed_while_forms_wait_each_is_abandoned_once_and_none_that_was_sent(scene: Scene) -> None:
    await scene.add_sandbox_account()
    hermod = scene.house.hermod
    database = hermod.core.storage.database
    notifying = {"notifications": [REMINDER]}
    await add_form(database, hermod.tenant, partials={"abandon_after": 10}, on_submit=notifying)

    async def counted(condition: str) -> int:
        statement = text(f"SELECT count(*) AS n FROM form_partials WHERE tenant_id = :tenant AND {condition}")
        return int((await database.rows(statement, {"tenant": hermod.tenant}))[0].n)

    worker = await scene.cluster.start_worker()
    for number in range(VISITORS):
        data = {"email": f"visitor{number}@example.com"}
        await hermod.save_partial("order", f"session-{number}", data, revision=1)

    async def all_wait() -> bool:
        return await counted("due_at IS NOT NULL") == VISITORS

    await eventually(all_wait)
    worker.kill()
    await worker.until_exit()
    assert await counted("status = 'open'") == VISITORS
    await hermod.submit("order", {"email": "visitor0@example.com"}, session="session-0")
    await scene.cluster.start_worker()

    async def all_ended() -> bool:
        told = await counted("status = 'abandoned' AND told_abandonments = 1")
        return told == VISITORS - 1

    await eventually(all_ended)
    assert await counted("status = 'converted' AND abandonments = 0") == 1

    async def all_sent() -> bool:
        assert await scene.counted() == {"sent": VISITORS - 1}
        return True

    await eventually(all_sent)
    assert list((await scene.received("sandbox")).values()) == [1] * (VISITORS - 1)
