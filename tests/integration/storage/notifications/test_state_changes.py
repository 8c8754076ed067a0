"""What the triggers write down for analytics is what happened: each state once, in the transaction that changed it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson
import pytest
from sqlalchemy import text

from hermod.contracts.ids import message_id, since
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Category, Options, Resolution, Status, Submission
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome, OutcomeUnknown, Transient
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from hermod.ports.notifications.ledger import Change, Intent, Result
from hermod.ports.webhooks.ledger import WebhookChange
from hermod.storage.database.engine import Database
from hermod.storage.notifications.acceptance import Acceptance, Draft, Ready
from hermod.storage.notifications.ledger import SqlLedger
from hermod.storage.notifications.messages import Messages
from hermod.storage.notifications.orphans import OrphanedMessage, OrphanedMessages
from hermod.storage.operations.orphaned_records import Limit
from hermod.storage.operations.workers import Workers
from hermod.storage.secrets.contents import Contents
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.tenants import Tenants
from hermod.storage.webhooks.deliveries import WebhookDeliveries
from hermod.storage.webhooks.ledger import SqlWebhookLedger
from tests.integration.storage.reporting import ACCOUNT, NOW, OTHER, Office, event
from tests.support.webhooks.rows import WebhookRows

H, S = ReceiptEventType, Status
RUN: Final = "run-1"
HOUR: Final = timedelta(hours=1)
_DRAIN: Final = text("DELETE FROM event_batches WHERE tenant_id = :tenant RETURNING id, sink, events, body, created_at")


@dataclass
class Line:
    """A tenant whose messages all have one owner, as those of a batch do, and what was told of them."""

    office: Office
    owner: str = "batch/x"

    def __post_init__(self) -> None:
        database = self.office.database
        self.tenant = self.office.tenant
        self.contents = Contents(database, Vault(Vault.new_key()), 30)
        self.ledger = SqlLedger(database, self.contents, Workers(database))
        self.messages = Messages(database)
        self.orphaned = OrphanedMessages(database, Workers(database))

    async def accept(self, count: int = 1, **options: Any) -> list[str]:
        return await self.take([self.draft(**options) for _ in range(count)])

    def draft(self, key: str | None = None, template: str | None = None, **options: Any) -> Draft:
        content = Email(to="ada@example.com", subject="Hello", text="Hello")
        submission = Submission(content=content, options=Options(**options), idempotency_key=key)
        return Draft(message_id(), self.owner, None, Ready(submission, content, template))

    async def take(self, drafts: list[Draft]) -> list[str]:
        await Acceptance(self.office.database, self.contents).take(self.tenant, drafts, self.office.now)
        return [draft.id for draft in drafts]

    async def ask(self, *messages: str, number: int = 1, account: str = ACCOUNT) -> None:
        intents = [
            Intent(message=one, number=number, round=1, account=account, provider=f"vendor-of-{account}")
            for one in messages
        ]
        granted = await self.ledger.grant(self.tenant, self.owner, intents, self.office.now)
        assert granted == set(messages)

    async def answer(self, outcome: AnyOutcome, status: Status, *messages: str, number: int = 1) -> None:
        results = [
            Result(
                message=one,
                number=number,
                account=ACCOUNT,
                outcome=outcome,
                duration_ms=5,
                status=status,
                round=1,
                spent=1,
                next_attempt_at=None,
                decision=None,
            )
            for one in messages
        ]
        await self.ledger.record(self.tenant, RUN, results, self.office.now)

    async def change(self, status: Status, *messages: str) -> None:
        changes = [
            Change(
                message=one,
                number=0,
                status=status,
                next_attempt_at=None,
                round=1,
                spent=1,
                wait_reason=None,
                decision=None,
            )
            for one in messages
        ]
        await self.ledger.change(self.tenant, self.owner, RUN, changes, self.office.now)

    async def open(self) -> list[OrphanedMessage]:
        """What is started and open, as the sweeper reads it later."""
        limit = Limit(workflows=9, records=999)
        return await self.orphaned.stalled(self.office.now + HOUR, older_than=HOUR / 2, limit=limit)

    async def dead_letter(self, message: str) -> int:
        orphans = [one for one in await self.open() if one.id == message]
        now = self.office.now
        return await self.orphaned.dead_letter(orphans, RUN, "gone", now, untouched_since=now + HOUR)

    async def endpoint(self, *, enabled: bool = True) -> WebhookRows:
        database = self.office.database
        await Tenants(database).create(self.tenant, self.tenant, NOW)
        return await WebhookRows.make(database, self.tenant, NOW, enabled=enabled)

    async def told(self) -> list[dict[str, Any]]:
        """What was written down since the last time, in the order in which it came."""
        rows = sorted(await self.office.rows(_DRAIN.text), key=lambda row: row.id)
        assert {row.sink for row in rows} <= {"message_states"}
        lines = [[orjson.loads(line) for line in bytes(row.body).splitlines()] for row in rows]
        assert [len(some) for some in lines] == [row.events for row in rows]
        told = [line for some in lines for line in some]
        assert {line["tenant"] for line in told} <= {self.tenant}
        return told

    async def states(self) -> Counter[tuple[str, str]]:
        """How often each state was told of each message; one that was left again is one of `-state`."""
        return Counter((line["message_id"], signed(line)) for line in await self.told())

    async def statuses(self) -> dict[str, str]:
        rows = await self.office.rows("SELECT id, status FROM messages WHERE tenant_id = :tenant")
        return {row.id: row.status for row in rows}


def signed(told: dict[str, Any]) -> str:
    return {1: "", -1: "-"}[told["sign"]] + str(told["state"])


@pytest.fixture
async def line(database_url: str) -> AsyncIterator[Line]:
    database = Database(database_url)
    yield Line(Office(database))
    await database.close()


async def test_every_step_of_many_messages_is_told_once_and_waiting_is_not(line: Line) -> None:
    """Each state in which a message was seen between the statements, and nothing else, is in the outbox."""
    messages, now = await line.accept(10), line.office.now
    well, unsure, retried, hopeless, cancelled, expired, bounced, buried, lucky, doubtful = messages
    expected = Counter((one, "accepted") for one in messages)
    waiting = {status.value for status in (S.PENDING, S.QUEUED, S.SENDING, S.RETRYING, S.DEFERRED, S.SCHEDULED)}
    before = await line.statuses()

    async def stepped() -> None:
        nonlocal before
        after = await line.statuses()
        moved = {one: status for one, status in after.items() if status != before[one]}
        expected.update((one, status) for one, status in moved.items() if status not in waiting)
        expected.update((one, f"-{before[one]}") for one in moved if before[one] in (S.FAILED, S.UNKNOWN))
        before = after

    accepted, unknown = Accepted(provider_id="p"), OutcomeUnknown(error="cut off")
    await line.messages.mark_started(line.tenant, line.owner, messages, now)
    await line.messages.cancel(line.tenant, cancelled, actor="test", now=now)
    await stepped()
    await line.change(S.EXPIRED, expired)
    await line.ask(well, unsure, retried, hopeless, bounced, lucky, doubtful)
    await stepped()
    await line.answer(accepted, S.SENT, well, bounced)
    await line.answer(unknown, S.UNKNOWN, unsure, doubtful)
    await line.answer(Transient(error="later"), S.RETRYING, retried, lucky)
    await line.answer(Transient(error="never"), S.FAILED, hopeless)
    await stepped()
    assert await line.dead_letter(buried) == 1
    await line.messages.retry(line.tenant, hopeless, actor="test", now=now)
    await line.messages.resolve(line.tenant, unsure, Resolution(outcome="sent"), actor="test", now=now)
    await line.messages.resolve(line.tenant, doubtful, Resolution(outcome="not_sent"), actor="test", now=now)
    await line.ask(retried, lucky, number=2)
    await line.answer(accepted, S.SENT, retried, number=2)
    await line.answer(unknown, S.RETRYING, lucky, number=2)
    await stepped()
    await line.office.take(event(H.DELIVERED, well), event(H.BOUNCED, bounced), event(H.DELIVERED, lucky))
    await stepped()
    await line.office.take(event(H.COMPLAINED, well), event(H.DELIVERED, bounced))
    await line.messages.cancel(line.tenant, hopeless, actor="test", now=now)
    await line.orphaned.touch(await line.open(), now)
    await line.messages.discard(line.tenant, buried, actor="test", now=now)
    await stepped()
    expected[lucky, "sent"] += 1
    assert await line.states() == expected
    assert expected[hopeless, "-failed"] == expected[unsure, "-unknown"] == expected[doubtful, "-unknown"] == 1


async def test_message_that_leaps_over_sent_is_told_to_have_been_sent(line: Line) -> None:
    message = await line.office.message(S.UNKNOWN, asked=((ACCOUNT, "unknown"),))
    await line.told()
    await line.office.take(event(H.DELIVERED, message))
    await line.office.take(event(H.BOUNCED, message))
    assert [signed(told) for told in await line.told()] == ["-unknown", "sent", "delivered", "bounced"]


async def test_row_has_the_columns_of_the_table_and_nothing_personal(line: Line) -> None:
    options: dict[str, Any] = {"metadata": {"campaign": 'spring "26"\n', "name": "Ada"}, "category": Category.MARKETING}
    (message,) = await line.take([line.draft(template="welcome/de@3", provider_account="asked", **options)])
    line.office.later(seconds=1.5)
    await line.ask(message, account=OTHER)
    await line.answer(Accepted(provider_id="p"), S.SENT, message)
    shared = {
        "tenant": line.tenant,
        "channel": "email",
        "sign": 1,
        "accepted_at": "2026-11-22 12:00:00.000",
        "message_id": message,
        "template": "welcome/de@3",
        "category": "marketing",
        "campaign": 'spring "26"\n',
    }
    assert await line.told() == [
        shared | {"state": "accepted", "at": "2026-11-22 12:00:00.000", "provider": "", "account": "asked"},
        shared | {"state": "sent", "at": "2026-11-22 12:00:01.500", "provider": "vendor-of-backup", "account": OTHER},
    ]


async def test_state_names_the_account_that_took_the_message_not_the_last_one_asked(line: Line) -> None:
    message = await line.office.message(asked=((ACCOUNT, "accepted"), (OTHER, "unknown")))
    await line.told()
    await line.office.take(event(H.DELIVERED, message))
    assert [told["account"] for told in await line.told()] == [ACCOUNT]


async def test_campaign_that_is_no_text_is_told_as_text_and_a_long_one_in_part(line: Line) -> None:
    await line.take([line.draft(metadata={"campaign": 7}), line.draft(metadata={"campaign": "ä" * 200}), line.draft()])
    assert [told["campaign"] for told in await line.told()] == ["7", "ä" * 128, ""]


async def test_repeated_keys_are_told_once_and_a_transaction_that_fails_tells_nothing(line: Line) -> None:
    (message,) = await line.take([line.draft("k")])
    await line.take([line.draft("k"), line.draft("k")])
    with pytest.raises(RuntimeError):
        await _failing(line)
    assert await line.states() == Counter({(message, "accepted"): 1})


async def _failing(line: Line) -> None:
    async with line.office.database.begin() as connection:
        await connection.execute(text("UPDATE messages SET status = 'failed' WHERE true"))
        raise RuntimeError


async def test_five_hundred_messages_are_one_row_for_each_statement(line: Line) -> None:
    """The session's first statements are small, so that plans made for them would be wrong for these."""
    await line.ask(*await line.accept(1))
    messages = await line.accept(500)
    await line.told()
    await line.ask(*messages)
    assert await line.told() == []
    await line.answer(Accepted(provider_id="p"), S.SENT, *messages)
    rows = await line.office.rows("SELECT id, events FROM event_batches WHERE tenant_id = :tenant")
    assert [row.events for row in rows] == [500]
    assert await line.states() == Counter((one, "sent") for one in messages)


async def test_batch_has_an_id_like_those_made_in_code(line: Line) -> None:
    await line.accept()
    (row,) = await line.office.rows("SELECT id, clock_timestamp() AS at FROM event_batches WHERE tenant_id = :tenant")
    assert len(row.id) == len(message_id())
    assert since("evb", row.at - timedelta(seconds=5)) < row.id < since("evb", row.at + timedelta(milliseconds=1))


async def test_batches_of_one_millisecond_have_ids_in_their_order(line: Line) -> None:
    """Those of different sessions as well, where one has committed before the other begins."""
    (row,) = await line.office.rows(
        "SELECT array_agg(new_id('evb') ORDER BY n) AS ids, array_agg(n) AS n FROM generate_series(1, 5000) n"
    )
    assert row.ids == sorted(row.ids)
    async with line.office.database.begin() as one, line.office.database.begin() as other:
        made = [
            (await each.execute(text("SELECT new_id('evb')"))).scalar_one() for _ in range(50) for each in (one, other)
        ]
    assert made == sorted(made)
    assert len({*made, *row.ids}) == 5100


async def test_reports_of_the_recipient_are_told_each_with_its_own_time(line: Line) -> None:
    message = await line.office.message(S.DELIVERED)
    await line.told()
    line.office.later(hours=1)
    now = line.office.now
    opened = event(H.OPENED, message, at=now - timedelta(minutes=20))
    early, late = now - timedelta(days=9), now + timedelta(days=9)
    await line.office.take(opened, event(H.CLICKED, message), event(H.READ, message, at=early))
    await line.office.take(opened, event(H.UNSUBSCRIBED, message), event(H.OPENED, message, at=late))
    assert [(told["state"], told["at"], told["account"]) for told in await line.told()] == [
        ("opened", "2026-11-22 12:40:00.000", ACCOUNT),
        ("clicked", "2026-11-22 13:00:00.000", ACCOUNT),
        ("opened", "2026-11-22 12:00:00.000", ACCOUNT),
        ("opened", "2026-11-22 13:00:00.000", ACCOUNT),
    ]


async def test_report_of_somebody_in_copy_is_not_told(line: Line) -> None:
    message = await line.office.message(S.DELIVERED)
    await line.told()
    await line.office.take(event(H.OPENED, message, address="eve@example.com"))
    await line.office.take(event(H.CLICKED, message, address="ADA@example.com"))
    assert [told["state"] for told in await line.told()] == ["clicked"]


async def test_reports_that_waited_for_their_messages_are_told_when_these_are_found(line: Line) -> None:
    """The statement that finds them is about several tenants; each gets its own row."""
    other = Line(Office(line.office.database))
    for one in (line, other):
        await one.office.take(event(H.OPENED, provider_message_id="p-7"))
        assert await one.told() == []
    found = [await one.office.message(provider_id="p-7") for one in (line, other)]
    for one in (line, other):
        await one.told()
    line.office.later(minutes=1)
    await line.office.receipts.settle(line.office.now)
    for one, message in zip((line, other), found, strict=True):
        assert await one.states() == Counter({(message, "opened"): 1, (message, "delivered"): 1})
    line.office.later(minutes=1)
    await line.office.receipts.settle(line.office.now)
    assert await line.told() == await other.told() == []


async def test_report_about_a_message_under_way_is_told_as_it_comes_and_not_again(line: Line) -> None:
    message = await line.office.message(S.SENDING, asked=((ACCOUNT, None),))
    await line.told()
    await line.office.take(event(H.OPENED, message))
    assert [told["state"] for told in await line.told()] == ["opened"]
    await line.office.put(message, S.SENT)
    await line.told()
    line.office.later(minutes=1)
    await line.office.receipts.settle(line.office.now)
    assert [told["state"] for told in await line.told()] == ["delivered"]


async def test_webhook_deliveries_are_told_by_endpoint_and_type_of_event(line: Line) -> None:
    rows = await line.endpoint()
    delivery = await rows.add(DeliveryStatus.PENDING, ago=timedelta(0))
    ledger = SqlWebhookLedger(line.office.database, line.contents, Workers(line.office.database))
    deliveries = WebhookDeliveries(line.office.database, line.contents)
    owner = f"webhook/{line.tenant}/{delivery}"

    async def become(status: DeliveryStatus) -> None:
        change = WebhookChange(delivery=delivery, number=0, status=status, next_attempt_at=None, wait_reason=None)
        await ledger.change(line.tenant, owner, [change], NOW)

    await deliveries.mark_started(line.tenant, owner, [delivery], NOW)
    await become(DeliveryStatus.RETRYING)
    await become(DeliveryStatus.PARKED)
    await deliveries.retry(line.tenant, delivery, actor="test", now=NOW)
    await become(DeliveryStatus.SKIPPED)
    await deliveries.retry(line.tenant, delivery, actor="test", now=NOW)
    await deliveries.cancel(line.tenant, delivery, actor="test", now=NOW)
    told = await line.told()
    assert [signed(one) for one in told] == ["accepted", "parked", "-parked", "failed", "-failed", "cancelled"]
    assert told[0] == {
        "sign": 1,
        "accepted_at": "2026-11-22 12:00:00.000",
        "tenant": line.tenant,
        "channel": "webhook",
        "state": "accepted",
        "at": "2026-11-22 12:00:00.000",
        "message_id": delivery,
        "provider": "",
        "account": rows.endpoint,
        "template": "order.paid",
        "category": "",
        "campaign": "",
    }


async def test_delivery_to_a_disabled_endpoint_is_told_as_accepted_and_parked(line: Line) -> None:
    rows = await line.endpoint(enabled=False)
    delivery = await rows.add(DeliveryStatus.PARKED)
    assert await line.states() == Counter({(delivery, "accepted"): 1, (delivery, "parked"): 1})
