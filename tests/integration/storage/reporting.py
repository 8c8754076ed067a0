"""Messages in any state, and reports about them, for the tests of receipts and suppressions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from hermod.contracts.ids import message_id, message_workflow
from hermod.contracts.notifications.content import Channel, Email, Sms
from hermod.contracts.notifications.messages import MessageView, Options, Status, Submission
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.notifications.suppressions import SuppressionView
from hermod.ports.notifications.receipts import Event, Taken
from hermod.storage.database.engine import Database
from hermod.storage.notifications.acceptance import Acceptance, Draft, Ready
from hermod.storage.notifications.messages import Messages
from hermod.storage.notifications.receipts import Receipts
from hermod.storage.recipients.suppressions import Suppressions
from hermod.storage.secrets.contents import Contents
from hermod.storage.secrets.vault import Vault

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ACCOUNT, OTHER = "main", "backup"
_numbers = itertools.count(1)


@dataclass
class Office:
    """One tenant's messages, and the provider's desk that reports about them."""

    database: Database
    tenant: str = field(default_factory=lambda: f"office{next(_numbers)}")
    now: datetime = NOW

    @property
    def receipts(self) -> Receipts:
        return Receipts(self.database)

    @property
    def suppressions(self) -> Suppressions:
        return Suppressions(self.database)

    async def message(
        self,
        status: Status = Status.SENT,
        *,
        to: str = "ada@example.com",
        asked: tuple[tuple[str, str | None], ...] = ((ACCOUNT, "accepted"),),
        provider_id: str | None = None,
        **options: Any,
    ) -> str:
        """A message in this state, with a request for each `(account, outcome)`."""
        content = Sms(to=to, body="Hello") if to.startswith("+") else Email(to=to, subject="Hello", text="Hello")
        own = message_id()
        ready = Ready(Submission(content=content, options=Options(**options)), content)
        contents = Contents(self.database, Vault(Vault.new_key()), 30)
        draft = Draft(own, message_workflow(self.tenant, own), None, ready)
        await Acceptance(self.database, contents).take(self.tenant, [draft], self.now)
        await self.put(own, status, provider_id=provider_id)
        for number, (account, outcome) in enumerate(asked, 1):
            statement = text(
                "INSERT INTO attempts (tenant_id, message_id, number, round, account, provider, outcome, started_at) "
                "VALUES (:tenant, :id, :number, 1, :account, :provider, :outcome, :now)"
            )
            names = {"number": number, "account": account, "provider": f"vendor-of-{account}", "outcome": outcome}
            await self.database.execute(statement, names | {"tenant": self.tenant, "id": own, "now": self.now})
        return own

    async def put(self, message: str, status: Status, *, provider_id: str | None = None) -> None:
        statement = text(
            "UPDATE messages SET status = :status, provider_message_id = :provider_id, provider = 'last-asked', "
            "error = 'worse things', error_code = 'worse', next_attempt_at = :now, "
            "finished_at = CASE WHEN :closed THEN CAST(:now AS timestamptz) END, "
            "dead_at = CASE WHEN :dead THEN CAST(:now AS timestamptz) END WHERE tenant_id = :tenant AND id = :id"
        )
        names = {"status": status.value, "provider_id": provider_id, "tenant": self.tenant, "id": message}
        dead = status in (Status.FAILED, Status.UNKNOWN)
        closed = dead or status in (Status.SENT, Status.DELIVERED, Status.CANCELLED, Status.EXPIRED)
        await self.database.execute(statement, names | {"now": self.now, "closed": closed, "dead": dead})

    async def take(self, *events: Event, account: str = ACCOUNT, channel: Channel = Channel.EMAIL) -> Taken:
        return await self.receipts.take(self.tenant, account, channel, events, self.now)

    async def story(self, message: str) -> MessageView:
        return await Messages(self.database).view(self.tenant, message)

    async def status(self, message: str) -> Status:
        return (await self.story(message)).status

    async def rows(self, statement: str) -> list[Any]:
        return list(await self.database.rows(text(statement), {"tenant": self.tenant}))

    async def suppressed(self) -> list[SuppressionView]:
        page = await self.suppressions.page(
            self.tenant, hashes=None, channel=None, reason=None, cursor=None, limit=200, now=self.now
        )
        return list(page.items)

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)


def event(kind: ReceiptEventType, message: str | None = None, **changes: Any) -> Event:
    fields: dict[str, Any] = {"id": f"evt_{next(_numbers)}", "word": f"the-word/{kind.value}", "message_id": message}
    return Event(kind=kind, **(fields | changes))
