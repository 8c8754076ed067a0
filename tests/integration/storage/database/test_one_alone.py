"""One row that cannot be read, or cannot be written, is an end of that row: those beside it go on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hermod.bootstrap import Storage, open_storage
from hermod.contracts.errors import InvalidInput, NewerRecord, Unavailable, Unreadable
from hermod.contracts.forms.forms import FormInput
from hermod.contracts.ids import new_id
from hermod.contracts.notifications.content import Channel, Email
from hermod.contracts.notifications.messages import Narrowed, Options, Status, Submission
from hermod.contracts.notifications.outcomes import Accepted
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.values.scalars import LEAST_RATE
from hermod.contracts.webhooks.deliveries import DeliveryStatus, EventInput
from hermod.ports.notifications.ledger import Intent, Result
from hermod.ports.notifications.receipts import Event
from hermod.ports.webhooks.ledger import Exchange, WebhookIntent, WebhookResult
from hermod.storage.analytics.event_outbox import EventRow, event_line
from hermod.storage.analytics.event_refusals import EventRefusals
from hermod.storage.database.apart import store_apart
from hermod.storage.forms.partials import PartialDraft
from hermod.storage.notifications import receipts as receipts_module
from hermod.storage.notifications.acceptance import Draft, Ready
from hermod.storage.webhooks.acceptance import EventDraft, PlannedDelivery, TakenEvent, event_body
from tests.support.product import settings_for
from tests.support.webhooks.rows import WebhookRows

TENANT, OWNER, RUN = "shop", "batch/shop/bat_1", "run-1"
BROKEN = [b"{", b"", b"\xff", b"\x01" + bytes(40), b"\x01"]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def storage(database_url: str) -> AsyncIterator[Storage]:
    async with open_storage(settings_for(database_url, "127.0.0.1:1")) as storage:
        await storage.tenants.create(TENANT, TENANT, now())
        await storage.contents.set_policy(TENANT, encrypts=True, days=30, actor="test", now=now())
        yield storage


async def change(storage: Storage, statement: str, **values: Any) -> None:
    assert await storage.database.execute(text(statement), {"tenant": TENANT} | values) == 1


async def five_messages(storage: Storage) -> list[str]:
    content = Email(to="ada@example.com", subject="a", text="b")
    ready = Ready(Submission(content=content, options=Options()), content)
    drafts = [Draft(new_id("msg"), OWNER, None, ready) for _ in range(5)]
    await storage.acceptance.take(TENANT, drafts, now())
    ids = [draft.id for draft in drafts]
    await storage.messages.mark_started(TENANT, OWNER, ids, now())
    return ids


async def five_deliveries(storage: Storage) -> tuple[list[str], list[str]]:
    rows = await WebhookRows.make(storage.database, TENANT, now())
    drafts = []
    for number in range(5):
        event, own = EventInput(type="order.paid", payload={"n": number}), new_id("whd")
        planned = PlannedDelivery(own, rows.endpoint, None, OWNER)
        drafts.append(EventDraft(new_id("evt"), event, event_body(event, now()), None, (planned,)))
    taken = await storage.webhook_acceptance.take(TENANT, drafts, now())
    ids = [one.receipt.deliveries[0].id for one in taken if isinstance(one, TakenEvent)]
    await storage.webhook_deliveries.mark_started(TENANT, OWNER, ids, now())
    return ids, [draft.id for draft in drafts]


@pytest.mark.parametrize("body", BROKEN)
async def test_message_cannot_be_read_it_ends_and_the_others_are_open(storage: Storage, body: bytes) -> None:
    ids = await five_messages(storage)
    where = "tenant_id = :tenant AND message_id = :id"
    await change(storage, f"UPDATE message_contents SET body = :body WHERE {where}", id=ids[2], body=body)
    items = await storage.ledger.open_items(TENANT, OWNER, RUN, ids, now())
    assert {item.id for item in items} == set(ids) - {ids[2]}
    story = await storage.messages.view(TENANT, ids[2])
    assert (story.status, story.error_code) == (Status.FAILED, "unreadable")
    assert story.decisions[-1].reason == story.error


NEWER = [
    b'{"to": "ada@example.com", "subject": "a", "text": "b", "mood": "glad"}',
    b'{"to": "ada@example.com", "subject": "a", "text": "b", "mood": 1, "attachments": [{"filename": "a.txt",'
    b' "content_type": "text/plain", "content_base64": "YQ==", "expires": 3}]}',
]
"""Contents as a later version may store them."""


@pytest.mark.parametrize("body", NEWER, ids=["a field", "a nested field"])
async def test_content_has_a_field_of_a_later_version_it_waits_for_a_worker_that_knows_it(
    storage: Storage, body: bytes
) -> None:
    ids = await five_messages(storage)
    where = "tenant_id = :tenant AND message_id = :id"
    await change(storage, f"UPDATE message_contents SET body = :body WHERE {where}", id=ids[2], body=body)
    with pytest.raises(NewerRecord) as told:
        await storage.ledger.open_items(TENANT, OWNER, RUN, ids, now())
    assert ids[2] in str(told.value)
    assert "glad" not in str(told.value)
    for message in ids:
        assert (await storage.messages.view(TENANT, message)).status is Status.QUEUED


async def test_content_has_a_field_of_a_later_version_and_is_broken_besides_it_ends(storage: Storage) -> None:
    ids = await five_messages(storage)
    where = "tenant_id = :tenant AND message_id = :id"
    await change(
        storage, f"UPDATE message_contents SET body = :body WHERE {where}", id=ids[2], body=b'{"to": 5, "mood": 1}'
    )
    assert len(await storage.ledger.open_items(TENANT, OWNER, RUN, ids, now())) == 4
    assert (await storage.messages.view(TENANT, ids[2])).error_code == "unreadable"


async def test_message_under_way_cannot_be_read_it_ends_when_its_worker_is_lost(storage: Storage) -> None:
    ids = await five_messages(storage)
    intent = Intent(message=ids[2], number=1, round=1, account="main", provider="sandbox", ends_by=now())
    assert await storage.ledger.grant(TENANT, OWNER, [intent], now()) == {ids[2]}
    where = "tenant_id = :tenant AND message_id = :id"
    await change(storage, f"UPDATE message_contents SET body = '{{' WHERE {where}", id=ids[2])
    later = now() + timedelta(minutes=5)
    items = await storage.ledger.open_items(TENANT, OWNER, RUN, ids, later)
    assert {item.id for item in items} == set(ids) - {ids[2]}
    assert (await storage.messages.view(TENANT, ids[2])).status is Status.UNKNOWN


@pytest.mark.parametrize("body", BROKEN[3:])
async def test_delivery_cannot_be_read_it_ends_and_the_others_are_open(storage: Storage, body: bytes) -> None:
    ids, events = await five_deliveries(storage)
    where = "tenant_id = :tenant AND id = :id"
    await change(storage, f"UPDATE webhook_events SET body = :body WHERE {where}", id=events[2], body=body)
    items = await storage.webhook_ledger.open_items(TENANT, OWNER, RUN, ids, now())
    assert {item.id for item in items} == set(ids) - {ids[2]}
    story = await storage.webhook_deliveries.view(TENANT, ids[2])
    assert (story.status, story.payload) == (DeliveryStatus.FAILED, None)
    assert "cannot be read" in (story.error or "")


async def test_batch_of_events_cannot_be_read_it_is_set_aside_with_its_reason(storage: Storage) -> None:
    for number in range(5):
        row = EventRow(type=f"t{number}", occurred_at=now(), source="api")
        await storage.event_acceptance.take(TENANT, [event_line(TENANT, row, "2026-11-21 10:00:00.000")], now())
    rows = await storage.database.rows(text("SELECT id FROM event_batches ORDER BY id"), {})
    broken = "UPDATE event_batches SET body = '\\x01ff' WHERE tenant_id = :tenant AND id = :id"
    await change(storage, broken, id=rows[2].id)
    claimed = await storage.event_outbox.claim(TENANT, "evb_1", now())
    assert [batch.id for batch in claimed.batches] == [row.id for row in (*rows[:2], *rows[3:])]
    (aside,) = await storage.database.rows(text("SELECT id, events, reason FROM event_refusals"), {})
    assert (aside.id, aside.events) == (rows[2].id, 1)
    assert "cannot be read" in aside.reason
    assert len((await storage.event_outbox.claim(TENANT, "evb_1", now())).batches) == 4
    (shown,) = (await EventRefusals(storage.database, storage.contents).page(TENANT, cursor=None, limit=9)).items
    assert (shown.id, shown.count, shown.events) == (rows[2].id, 1, ())


async def test_partial_cannot_be_read_a_repeat_of_its_revision_is_answered(storage: Storage) -> None:
    await storage.forms.put(TENANT, "signup", FormInput(name="Sign up", schema_={}), actor="test", now=now())
    draft = PartialDraft(form="signup", session="s" * 8, revision=1, data={"a": 1})
    await storage.partials.save(TENANT, [draft], now())
    await change(storage, "UPDATE form_partials SET data = '\\x01ff' WHERE tenant_id = :tenant")
    (saved,) = await storage.partials.save(TENANT, [draft], now())
    assert saved is not None
    assert not saved.stored


async def test_row_of_a_list_cannot_be_read_the_others_are_shown(storage: Storage) -> None:
    ids = await five_messages(storage)
    where = "tenant_id = :tenant AND id = :id"
    await change(storage, f"UPDATE messages SET status = 'of a newer version' WHERE {where}", id=ids[2])
    page = await storage.messages.page(TENANT, Narrowed(), cursor=None, limit=50)
    assert {one.id for one in page.items} == set(ids) - {ids[2]}


@pytest.mark.parametrize("word", ["a\0b", "half: \ud800"])
async def test_provider_answers_what_cannot_be_stored_all_outcomes_are_recorded(storage: Storage, word: str) -> None:
    ids = await five_messages(storage)
    intents = [Intent(message=own, number=1, round=1, account="main", provider="sandbox") for own in ids]
    await storage.ledger.grant(TENANT, OWNER, intents, now())
    results = [
        Result(
            message=own,
            number=1,
            account="main",
            outcome=Accepted(provider_id=word if own == ids[2] else "p", status_code=200),
            duration_ms=1,
            status=Status.SENT,
            round=1,
            spent=0,
            next_attempt_at=None,
            decision=None,
        )
        for own in ids
    ]
    assert await storage.ledger.record(TENANT, RUN, results, now()) == set(ids)


@pytest.mark.parametrize("word", ["a\0b", "half: \ud800"])
async def test_receiver_answers_what_cannot_be_stored_all_outcomes_are_recorded(storage: Storage, word: str) -> None:
    ids, _ = await five_deliveries(storage)
    intents = [WebhookIntent(delivery=own, number=1, ends_by=now()) for own in ids]
    await storage.webhook_ledger.grant(TENANT, OWNER, intents, now())
    results = [
        WebhookResult(
            delivery=own,
            number=1,
            exchange=Exchange(
                outcome="http_error",
                status_code=500,
                error=word if own == ids[2] else None,
                request_headers={"a": "b"},
                response_headers={"x": word},
            ),
            status=DeliveryStatus.FAILED,
            spent=1,
            next_attempt_at=None,
            wait_reason=None,
        )
        for own in ids
    ]
    assert await storage.webhook_ledger.record(TENANT, RUN, results, now()) == set(ids)


async def test_report_spoils_its_call_the_others_are_kept(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [Event(id=f"r{number}", kind=ReceiptEventType.DELIVERED, word="x") for number in range(5)]
    report = receipts_module._report

    def spoiled(tenant: str, account: str, channel: Channel, event: Event, at: datetime) -> Any:
        made = report(tenant, account, channel, event, at)
        return made if event.id != "r2" else type(made)(**{**vars_of(made), "code": "a\0"})

    monkeypatch.setattr(receipts_module, "_report", spoiled)
    assert (await storage.receipts.take(TENANT, "main", Channel.EMAIL, events, now())).new == 4


def vars_of(report: Any) -> dict[str, Any]:
    return {name: getattr(report, name) for name in type(report).__dataclass_fields__}


async def test_our_own_fault_with_reports_is_raised_so_that_the_provider_repeats_them(storage: Storage) -> None:
    events = [Event(id=f"r{n}", kind=ReceiptEventType.DELIVERED, word="x", provider_message_id="p") for n in range(3)]
    another = Event(id="new", kind=ReceiptEventType.DELIVERED, word="x")
    await storage.receipts.take(TENANT, "main", Channel.EMAIL, events, now())
    await storage.database.execute(text("ALTER TABLE attempts RENAME TO elsewhere"), {})
    with pytest.raises(DBAPIError):
        await storage.receipts.take(TENANT, "main", Channel.EMAIL, [another], now())
    with pytest.raises(DBAPIError):
        await storage.receipts.settle(now() + timedelta(minutes=1))
    await storage.database.execute(text("ALTER TABLE elsewhere RENAME TO attempts"), {})
    assert (await storage.receipts.settle(now() + timedelta(minutes=1))).waiting == 3


async def test_report_cannot_be_settled_it_is_given_up_and_the_others_are(storage: Storage) -> None:
    events = [
        Event(id=f"r{number}", kind=ReceiptEventType.DELIVERED, word="x", provider_message_id="p")
        for number in range(5)
    ]
    await storage.receipts.take(TENANT, "main", Channel.EMAIL, events, now())
    broken = "UPDATE receipts SET kind = 'of a newer version' WHERE tenant_id = :tenant AND event_id = :id"
    await change(storage, broken, id="r2")
    report = await storage.receipts.settle(now() + timedelta(minutes=1))
    assert report.waiting == 4
    rows = await storage.database.rows(text("SELECT event_id FROM receipts WHERE settled_at IS NOT NULL"), {})
    assert [row.event_id for row in rows] == ["r2"]


async def test_rate_was_stored_before_there_was_a_least_one_it_counts_as_that(storage: Storage) -> None:
    await change(storage, "UPDATE tenants SET rate_per_second = 1e-300 WHERE id = :tenant")
    insert = "INSERT INTO domain_rates (tenant_id, domain, rate_per_second) VALUES (:tenant, 'a.com', 1e-9)"
    await change(storage, insert)
    rules = await storage.limits.rules(TENANT)
    assert (rules.rate, rules.domains) == (LEAST_RATE, {"a.com": LEAST_RATE})
    assert (await storage.limits.get(TENANT)).rate_per_second == LEAST_RATE


async def test_statement_is_spoiled_each_good_record_is_stored_once() -> None:
    stored: list[int] = []

    async def store(numbers: Sequence[int]) -> list[int]:
        if spoilt := [number for number in numbers if number % 7 == 3]:
            raise OverflowError(spoilt)
        stored.extend(numbers)
        return [number * 2 for number in numbers]

    answers = await store_apart(store, list(range(20)))
    good = [number for number in range(20) if number % 7 != 3]
    assert stored == good
    assert [answer for answer in answers if not isinstance(answer, Exception)] == [number * 2 for number in good]
    assert all(isinstance(answers[number], InvalidInput) for number in (3, 10, 17))


async def test_database_goes_away_between_the_parts_those_of_its_part_are_told() -> None:
    async def store(numbers: Sequence[int]) -> list[int]:
        if 3 in numbers and len(numbers) > 1:
            raise OverflowError
        if 9 in numbers:
            raise Unavailable("away")
        return list(numbers)

    answers = await store_apart(store, list(range(10)))
    assert answers[:3] == [0, 1, 2]
    assert isinstance(answers[9], Unavailable)
    with pytest.raises(Unavailable):
        await store_apart(store, [9])


async def test_submission_cannot_be_read_it_ends_with_its_reason(storage: Storage) -> None:
    statement = text("""
        INSERT INTO form_submissions (tenant_id, id, form_id, form_revision, definition, status, data, workflow_id,
                                      body_hash, metadata)
        VALUES (:tenant, :id, 'signup', 1, '{"name": "Sign up"}', 'processing', '\\x7b', 'submission/shop/sub_1', '',
                '{}')
    """)
    await storage.database.execute(statement, {"tenant": TENANT, "id": "sub_1"})
    with pytest.raises(Unreadable):
        await storage.submission_ledger.open(TENANT, "sub_1", RUN, now())
    story = await storage.submissions.view(TENANT, "sub_1")
    assert (story.status, story.error_code, story.data) == ("failed", "unreadable", None)
    with pytest.raises(Unreadable):
        await storage.submission_ledger.open(TENANT, "sub_1", RUN, now())
    assert (await storage.submissions.view(TENANT, "sub_1")).status == "failed"


async def test_submission_has_a_field_of_a_later_version_it_waits_for_a_worker_that_knows_it(storage: Storage) -> None:
    statement = text("""
        INSERT INTO form_submissions (tenant_id, id, form_id, form_revision, definition, status, data, workflow_id,
                                      body_hash, metadata)
        VALUES (:tenant, :id, 'signup', 1, '{"name": "Sign up", "mood": "glad"}', 'processing', '{}',
                'submission/shop/sub_1', '', '{}')
    """)
    await storage.database.execute(statement, {"tenant": TENANT, "id": "sub_1"})
    with pytest.raises(NewerRecord):
        await storage.submission_ledger.open(TENANT, "sub_1", RUN, now())
    rows = await storage.database.rows(text("SELECT status FROM form_submissions WHERE id = 'sub_1'"), {})
    assert [row.status for row in rows] == ["processing"]
