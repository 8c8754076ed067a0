"""Partials: the newest revision wins whatever happens on the way, and a conversion ends it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Row, text

from hermod.contracts.errors import NotFound
from hermod.contracts.forms.forms import PartialStatus
from hermod.storage.database.engine import Database
from hermod.storage.forms.partials import Conversion, PartialDraft, PartialKey, SqlPartials, convert
from hermod.storage.forms.resume_tokens import ResumeTokens
from hermod.storage.operations.records import Records
from hermod.storage.secrets.contents import Contents
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.tenants import Tenants
from tests.support.forms.rows import add_form

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
KEY = Vault.new_key()
SESSION = "session-1"
_sessions = itertools.count(1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    own = Database(database_url)
    for tenant in ("shop", "other"):
        await Tenants(own).create(tenant, tenant, NOW)
        await add_form(own, tenant, partials={"abandon_after": "PT1H"})
    yield own
    await own.close()


@pytest.fixture
def contents(database: Database) -> Contents:
    return Contents(database, Vault(KEY), default_days=30)


@pytest.fixture
def partials(database: Database, contents: Contents) -> SqlPartials:
    return SqlPartials(database, contents, ResumeTokens(KEY))


def draft(revision: int, *, form: str = "order", session: str = SESSION, contact: str | None = None) -> PartialDraft:
    return PartialDraft(form=form, session=session, revision=revision, data={"at": revision}, contact=contact)


async def converted(database: Database, submission: str = "sub_1", now: datetime = NOW) -> Conversion | None:
    async with database.begin() as connection:
        return await convert(connection, "shop", "order", SESSION, submission, now)


async def told(partials: SqlPartials, now: datetime = NOW) -> None:
    seen = await partials.look("shop", "order", SESSION, now)
    assert seen is not None
    assert await partials.told(seen)


async def steps(database: Database) -> Sequence[Row[Any]]:
    return await database.rows(text("SELECT kind, contact, detail FROM journey_steps ORDER BY id"), {})


@given(
    revisions=st.lists(st.integers(0, 6), min_size=1, max_size=12),
    seed=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_revisions_in_any_order_repeated_and_at_once_end_in_the_newest(
    partials: SqlPartials, revisions: list[int], seed: random.Random
) -> None:
    session = f"session-{next(_sessions)}"
    remaining, answers = [draft(one, session=session) for one in revisions], []
    while remaining:
        at_once = [
            [remaining.pop() for _ in range(min(len(remaining), seed.randint(1, 3)))] for _ in range(seed.randint(1, 3))
        ]
        answers = await asyncio.gather(*(partials.save("shop", batch, NOW) for batch in at_once if batch))
    view = await partials.view("shop", "order", session)
    assert (view.revision, view.data) == (max(revisions), {"at": max(revisions)})
    assert max(one.revision for batch in answers for one in batch if one) == max(revisions)


async def test_repeated_and_older_revisions_change_nothing(partials: SqlPartials) -> None:
    first = await partials.save("shop", [draft(5)], NOW)
    assert [one and (one.revision, one.wakes) for one in first] == [(5, True)]
    before = await partials.view("shop", "order", SESSION)
    later = await partials.save("shop", [draft(5), draft(3)], NOW + HOUR)
    assert [one and (one.revision, one.wakes) for one in later] == [(5, False), (5, False)]
    assert await partials.view("shop", "order", SESSION) == before


async def test_partials_of_others_and_of_no_form_are_apart(partials: SqlPartials, database: Database) -> None:
    await partials.save("other", [draft(9)], NOW)
    answers = await partials.save("shop", [draft(1), draft(2, form="none"), draft(3, session="session-2")], NOW)
    assert [one and one.revision for one in answers] == [1, None, 3]
    await database.execute(text("UPDATE forms SET deleted_at = now() WHERE tenant_id = 'shop'"), {})
    assert await partials.save("shop", [draft(1), draft(4)], NOW) == [None, None]
    with pytest.raises(NotFound):
        await partials.view("shop", "order", "session-3")


async def test_workflow_is_woken_once_until_it_has_told_what_it_saw(partials: SqlPartials) -> None:
    async def wakes(revision: int) -> bool:
        (saved,) = await partials.save("shop", [draft(revision)], NOW + revision * timedelta(seconds=1))
        assert saved is not None
        return saved.wakes

    assert [await wakes(1), await wakes(2)] == [True, False]
    seen = await partials.look("shop", "order", SESSION, NOW)
    assert seen is not None
    assert (seen.revision, seen.is_new, seen.abandonment_is_new) == (2, True, False)
    assert not await wakes(3)
    assert not await partials.told(seen), "nobody was woken for the third revision"
    await told(partials)
    assert await wakes(4)


async def due_at(database: Database) -> datetime | None:
    (row,) = await database.rows(text("SELECT due_at FROM form_partials"), {})
    due: datetime | None = row.due_at
    return due


async def test_late_report_of_an_older_revision_leaves_the_newer_ones_time_alone(
    partials: SqlPartials, database: Database
) -> None:
    await partials.save("shop", [draft(1)], NOW)
    slow = await partials.look("shop", "order", SESSION, NOW)
    assert slow is not None
    await partials.save("shop", [draft(2)], NOW + HOUR / 2)
    await told(partials, NOW + HOUR / 2)
    assert await due_at(database) == NOW + HOUR * 1.5
    assert not await partials.told(slow)
    assert await due_at(database) == NOW + HOUR * 1.5


async def test_late_report_of_an_open_form_hides_no_change_that_came_after_it_was_left(
    partials: SqlPartials, database: Database
) -> None:
    await partials.save("shop", [draft(1)], NOW)
    slow = await partials.look("shop", "order", SESSION, NOW)
    assert slow is not None
    left = await partials.look("shop", "order", SESSION, NOW + HOUR)
    assert left is not None
    assert left.abandonment_is_new
    assert not await partials.told(slow)
    (row,) = await database.rows(text("SELECT waits_since, told_revision, told_abandonments FROM form_partials"), {})
    assert (row.waits_since, row.told_revision, row.told_abandonments) == (NOW, 1, 0)
    assert await partials.told(left)


async def test_abandonment_that_nobody_has_told_is_found_though_the_form_was_sent_since(
    partials: SqlPartials, database: Database
) -> None:
    await partials.save("shop", [draft(1)], NOW)
    await told(partials)
    left = await partials.look("shop", "order", SESSION, NOW + HOUR)
    assert left is not None
    assert left.abandonment_is_new
    await converted(database, now=NOW + HOUR)
    found = await partials.forgotten(NOW + 2 * HOUR, unseen=HOUR / 4, still=HOUR / 2, limit=10)
    assert found == [PartialKey("shop", "order", SESSION)]
    seen = await partials.look("shop", "order", SESSION, NOW + 2 * HOUR)
    assert seen is not None
    assert (seen.status, seen.abandonment_is_new) == (PartialStatus.CONVERTED, True)
    assert await partials.told(seen)
    assert await partials.forgotten(NOW + 3 * HOUR, unseen=HOUR / 4, still=HOUR / 2, limit=10) == []


async def test_contact_is_kept_whatever_comes_with_it_and_is_a_step_when_it_is_new(
    partials: SqlPartials, database: Database
) -> None:
    await partials.save("shop", [draft(1)], NOW)
    await partials.save("shop", [draft(2, contact="ada"), draft(3)], NOW)
    await partials.save("shop", [draft(4), draft(5, contact="ada")], NOW)
    assert (await partials.view("shop", "order", SESSION)).contact == "ada"
    assert [(row.kind, row.contact, row.detail) for row in await steps(database)] == [
        ("form.partial", None, {"revision": 1}),
        ("form.partial", "ada", {"revision": 3}),
    ]


async def test_partial_is_abandoned_after_the_last_change_and_not_before(partials: SqlPartials) -> None:
    await partials.save("shop", [draft(1)], NOW)
    await partials.save("shop", [draft(2)], NOW + HOUR / 2)
    early = await partials.look("shop", "order", SESSION, NOW + HOUR)
    assert early is not None
    assert (early.status, early.due_at) == (PartialStatus.OPEN, NOW + HOUR * 1.5)
    left = await partials.look("shop", "order", SESSION, NOW + HOUR * 1.5)
    assert left is not None
    assert (left.status, left.abandonments, left.abandonment_is_new, left.due_at) == (
        PartialStatus.ABANDONED,
        1,
        True,
        None,
    )
    assert await partials.told(left)
    again = await partials.look("shop", "order", SESSION, NOW + HOUR * 2)
    assert again is not None
    assert (again.abandonments, again.abandonment_is_new) == (1, False)


async def test_visitor_who_comes_back_is_open_again_and_may_leave_again(partials: SqlPartials) -> None:
    await partials.save("shop", [draft(1)], NOW)
    await told(partials, NOW + HOUR)
    await partials.save("shop", [draft(2)], NOW + 2 * HOUR)
    assert (await partials.view("shop", "order", SESSION)).status is PartialStatus.OPEN
    left = await partials.look("shop", "order", SESSION, NOW + 3 * HOUR)
    assert left is not None
    assert (left.status, left.abandonments, left.abandonment_is_new) == (PartialStatus.ABANDONED, 2, True)


async def test_conversion_ends_it_and_no_later_revision_opens_it_again(
    partials: SqlPartials, database: Database
) -> None:
    await partials.save("shop", [draft(1, contact="ada")], NOW)
    assert await converted(database) == Conversion(revision=1, contact="ada", abandonments=0)
    assert await converted(database, "sub_2") is None
    (late,) = await partials.save("shop", [draft(2)], NOW + HOUR)
    assert late is not None
    assert (late.status, late.revision, late.wakes) == (PartialStatus.CONVERTED, 1, False)
    seen = await partials.look("shop", "order", SESSION, NOW + 5 * HOUR)
    assert seen is not None
    assert (seen.status, seen.abandonments, seen.due_at) == (PartialStatus.CONVERTED, 0, None)
    view = await partials.view("shop", "order", SESSION)
    assert (view.submission, view.converted_at) == ("sub_1", NOW)


async def test_conversion_of_what_was_left_is_a_recovery(partials: SqlPartials, database: Database) -> None:
    await partials.save("shop", [draft(1)], NOW)
    await told(partials, NOW + HOUR)
    conversion = await converted(database, now=NOW + 2 * HOUR)
    assert conversion is not None
    assert conversion.is_recovered
    assert [row.kind for row in await steps(database)] == ["form.partial", "form.recovered"]


async def test_submission_that_came_before_its_first_revision_leaves_no_form_to_abandon(
    partials: SqlPartials, database: Database
) -> None:
    assert await converted(database) is None
    (late,) = await partials.save("shop", [draft(1)], NOW)
    assert late is not None
    assert (late.status, late.wakes) == (PartialStatus.CONVERTED, False)


async def test_conversion_and_abandonment_at_the_same_moment_agree_on_who_was_first(
    partials: SqlPartials, database: Database
) -> None:
    for number in range(20):
        session = f"race-{number:04}"
        await partials.save("shop", [draft(1, session=session)], NOW)

        async def submit(session: str = session) -> Conversion | None:
            async with database.begin() as connection:
                return await convert(connection, "shop", "order", session, "sub_1", NOW + HOUR)

        seen, conversion = await asyncio.gather(partials.look("shop", "order", session, NOW + HOUR), submit())
        assert seen is not None
        assert conversion is not None
        final = await partials.look("shop", "order", session, NOW + 5 * HOUR)
        assert final is not None
        assert final.status is PartialStatus.CONVERTED
        assert final.abandonments == conversion.abandonments, "what was left behind was left before it was sent"


async def test_contents_are_sealed_for_their_own_partial(
    partials: SqlPartials, database: Database, contents: Contents
) -> None:
    await contents.set_policy("shop", encrypts=True, days=None, actor="test", now=NOW)
    await partials.save("shop", [draft(1), draft(7, session="session-2")], NOW)
    rows = await database.rows(text("SELECT data FROM form_partials"), {})
    assert all(row.data.startswith(b"\x01") and b'{"at"' not in row.data for row in rows)
    assert (await partials.view("shop", "order", SESSION)).data == {"at": 1}


@pytest.mark.parametrize(
    ("since_change", "since_sent", "kept"),
    [(89, None, True), (91, None, False), (40, 29, True), (40, 31, False)],
)
async def test_contents_go_after_ninety_idle_days_or_with_those_of_what_was_sent(
    partials: SqlPartials,
    database: Database,
    contents: Contents,
    since_change: int,
    since_sent: int | None,
    kept: bool,
) -> None:
    await partials.save("shop", [draft(1)], NOW - timedelta(days=since_change))
    if since_sent is not None:
        await converted(database, now=NOW - timedelta(days=since_sent))
    await contents.purge_expired(NOW)
    assert ((await partials.view("shop", "order", SESSION)).data is not None) is kept


async def test_record_goes_with_its_steps_once_its_contents_are_gone(
    partials: SqlPartials, database: Database, contents: Contents
) -> None:
    records = Records(database, days=40, content_days=30)
    await partials.save("shop", [draft(1)], NOW)
    await told(partials, NOW + HOUR)
    assert await records.purge_expired(NOW + timedelta(days=41)) == {"journey_steps": 1}
    assert (await partials.view("shop", "order", SESSION)).data == {"at": 1}
    await contents.purge_expired(NOW + timedelta(days=91))
    assert await records.purge_expired(NOW + timedelta(days=91)) == {"form_partials": 1}


async def test_forgotten_partials_are_found_once_until_they_change_or_are_still(
    partials: SqlPartials, database: Database
) -> None:
    async def forgotten(after: timedelta) -> list[PartialKey]:
        minute = timedelta(minutes=1)
        return await partials.forgotten(NOW + after, unseen=minute / 4, still=10 * minute, limit=10)

    own = PartialKey("shop", "order", SESSION)
    await partials.save("shop", [draft(1)], NOW)
    assert await forgotten(timedelta(seconds=5)) == []
    assert await forgotten(timedelta(seconds=20)) == [own]
    await partials.touch([own], NOW + timedelta(seconds=20))
    assert await forgotten(timedelta(minutes=5)) == []
    assert await forgotten(timedelta(minutes=15)) == [own]
    await told(partials)
    assert await forgotten(timedelta(minutes=60)) == []
    assert await forgotten(timedelta(minutes=75)) == [own], "it has been due for ten minutes"
    await converted(database)
    assert await forgotten(timedelta(days=1)) == []
