"""What push services say about tokens: a dead one goes, a wrong one is suspected, a wrong account rests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.devices import DeviceReport
from hermod.contracts.notifications.outcomes import Fault
from hermod.contracts.tenants.accounts import AccountInput, AccountView
from hermod.domain.notifications.dead_tokens import MASS
from hermod.ports.notifications.hygiene import Refused
from hermod.storage.database.engine import Database
from hermod.storage.recipients.dead_tokens import COUNT_EVERY, FORGOTTEN, DeadTokens
from hermod.storage.recipients.devices import Devices
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.accounts import ProviderAccounts
from hermod.storage.tenants.tenants import Tenants

START: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)


class Push:
    """A tenant with one push account, whose answers a test makes up. Each answer comes a minute after the other."""

    def __init__(self, database: Database, accounts: ProviderAccounts) -> None:
        self.devices = Devices(database)
        self.accounts = accounts
        self.database = database
        self.now = START
        self._seconds = 0.0
        self._tokens = DeadTokens(database, accounts, seconds=lambda: self._seconds)

    async def register(self, *tokens: str) -> None:
        for token in tokens:
            await self.devices.register("demo", f"owner-of-{token}", token, self.now)

    async def answer(self, *wrong: str, accepted: int = 0, gone: Sequence[str] = ()) -> None:
        """The answers of one wave."""
        self.now += MINUTE
        self._seconds += 60
        refused = [_refused(token, Fault.WRONG_TOKEN) for token in wrong]
        refused += [_refused(token, Fault.UNREGISTERED) for token in gone]
        await self._tokens.learn("demo", Channel.PUSH, "main", refused, accepted, self.now)

    async def count_quickly(self, *accepted: int) -> int:
        """Waves that are accepted within one second; how many acceptances are in the database after them."""
        for one in accepted:
            self._seconds += COUNT_EVERY / 100
            await self._tokens.learn("demo", Channel.PUSH, "main", [], one, self.now)
        rows = await self.database.rows(text("SELECT accepted FROM push_tallies"), {})
        return rows[0].accepted if rows else 0

    async def sweep(self, after: timedelta = timedelta(hours=1)) -> DeviceReport:
        self.now += after
        return await self._tokens.sweep(self.now, beat=lambda: None)

    async def living(self) -> set[str]:
        rows = await self.database.rows(text("SELECT token FROM devices WHERE removed_at IS NULL"), {})
        return {row.token for row in rows}

    async def suspected(self) -> set[str]:
        rows = await self.database.rows(text("SELECT token FROM devices WHERE suspect_since IS NOT NULL"), {})
        return {row.token for row in rows}

    async def account(self) -> AccountView:
        return await self.accounts.get("demo", "main", self.now)


def _refused(token: str, fault: Fault) -> Refused:
    return Refused(message=f"msg_{token}", to=token, fault=fault, code="code")


def several(count: int, name: str = "token") -> list[str]:
    return [f"{name}-{number}" for number in range(count)]


@pytest.fixture
async def push(database_url: str) -> AsyncIterator[Push]:
    database = Database(database_url)
    await Tenants(database).create("demo", "Demo", START)
    accounts = ProviderAccounts(database, Vault(Vault.new_key()))
    given = AccountInput(channel=Channel.PUSH, provider="expo", credentials={"access_token": SecretStr("token")})
    await accounts.put("demo", "main", given, actor="test", now=START)
    yield Push(database, accounts)
    await database.close()


async def test_token_unregistered_its_device_is_removed_at_once(push: Push) -> None:
    await push.register("a", "b")
    await push.answer(gone=["a"])
    assert await push.living() == {"b"}
    rows = await push.database.rows(text("SELECT removed_reason FROM devices WHERE removed_at IS NOT NULL"), {})
    assert [row.removed_reason for row in rows] == ["unregistered"]


async def test_token_wrong_once_is_only_suspected(push: Push) -> None:
    await push.register("a", "b")
    await push.answer("a", accepted=1)
    await push.answer(accepted=5)
    assert await push.suspected() == {"a"}
    assert await push.sweep() == DeviceReport()
    assert await push.living() == {"a", "b"}


async def test_token_wrong_again_while_the_account_works_is_removed(push: Push) -> None:
    await push.register("a", "b")
    await push.answer("a", accepted=1)
    await push.answer("a", accepted=1)
    assert await push.living() == {"a", "b"}
    assert await push.sweep() == DeviceReport(removed=1)
    assert await push.living() == {"b"}
    assert await push.sweep() == DeviceReport()


async def test_token_wrong_again_before_the_account_has_accepted_anything_is_not_confirmed(push: Push) -> None:
    await push.register("a")
    await push.answer("a")
    await push.answer("a")
    await push.answer(accepted=100)
    assert await push.sweep() == DeviceReport()
    assert await push.living() == {"a"}


async def test_token_registered_again_is_no_suspect_any_more(push: Push) -> None:
    await push.register("a")
    await push.answer("a", accepted=1)
    await push.answer("a", accepted=1)
    await push.register("a")
    assert await push.suspected() == set()
    assert await push.sweep() == DeviceReport()
    assert await push.living() == {"a"}


async def test_mass_of_wrong_tokens_without_success_halts_the_account_and_removes_nothing(push: Push) -> None:
    tokens = several(100)
    await push.register(*tokens)
    await push.answer(*tokens)
    account = await push.account()
    assert (account.available, account.blocked_reason) == (False, "halted")
    assert await push.sweep() == DeviceReport()
    assert await push.living() == set(tokens)


async def test_mass_of_wrong_tokens_one_by_one_halts_the_account_at_the_tenth(push: Push) -> None:
    for number, token in enumerate(several(MASS), start=1):
        assert (await push.account()).available, number
        await push.answer(token)
    assert not (await push.account()).available


async def test_one_wrong_token_many_times_does_not_halt_the_account(push: Push) -> None:
    for _ in range(3 * MASS):
        await push.answer("a")
    assert (await push.account()).available


async def test_wrong_tokens_between_accepted_ones_do_not_halt_the_account(push: Push) -> None:
    for token in several(3 * MASS):
        await push.answer(token, accepted=1)
    assert (await push.account()).available


async def test_account_that_worked_until_now_is_halted_by_a_row_of_wrong_tokens(push: Push) -> None:
    await push.answer(accepted=10_000)
    await push.answer(*several(MASS))
    assert not (await push.account()).available


async def test_account_halted_says_why_in_the_messages_and_in_the_audit(push: Push) -> None:
    await push.answer(*several(MASS))
    decisions = await push.database.rows(text("SELECT message_id, kind, verdict, reason FROM decisions"), {})
    assert {row.message_id for row in decisions} == {f"msg_{token}" for token in several(MASS)}
    assert {(row.kind, row.verdict) for row in decisions} == {("account", "halted")}
    assert "10 tokens in a row" in decisions[0].reason
    (audited,) = await push.database.rows(text("SELECT actor, subject FROM audit WHERE action = 'account.halt'"), {})
    assert (audited.actor, audited.subject) == ("hermod", "main")


async def test_account_halted_already_is_not_halted_anew_by_what_was_under_way(push: Push) -> None:
    await push.answer(*several(MASS))
    until = (await push.account()).blocked_until
    push.now -= MINUTE
    await push.answer(*several(MASS, "other"))
    assert (await push.account()).blocked_until == until


async def test_account_mended_after_a_mass_the_tokens_that_work_are_never_removed(push: Push) -> None:
    tokens = several(100)
    await push.register(*tokens)
    await push.answer(*tokens)
    for _ in range(10):
        await push.answer(accepted=100)
    assert await push.sweep() == DeviceReport()
    assert await push.living() == set(tokens)


async def test_mass_of_confirmed_suspects_is_kept_until_they_are_a_minority(push: Push) -> None:
    """Half of the devices are of another app: the account works, and so many cannot all be dead."""
    wrong = several(50)
    await push.register(*wrong)
    await push.answer(*wrong, accepted=50)
    await push.answer(*wrong, accepted=50)
    assert await push.sweep() == DeviceReport(kept=50)
    assert await push.living() == set(wrong)
    await push.answer(accepted=200)
    assert await push.sweep() == DeviceReport(removed=50)


async def test_few_suspects_of_a_small_account_are_removed_although_they_are_many_of_it(push: Push) -> None:
    await push.register("a", "b")
    await push.answer("a", "b", accepted=1)
    await push.answer("a", "b", accepted=1)
    assert await push.sweep() == DeviceReport(removed=2)


async def test_suspect_nobody_wrote_to_for_a_month_is_forgotten(push: Push) -> None:
    await push.register("a")
    await push.answer("a", accepted=1)
    await push.sweep(after=FORGOTTEN + MINUTE)
    assert await push.suspected() == set()
    assert await push.living() == {"a"}


async def test_acceptances_in_quick_succession_are_written_once_a_second(push: Push) -> None:
    await push.answer(accepted=1)
    assert await push.count_quickly(2, 3) == 1
    await push.answer(accepted=4)
    assert await push.count_quickly() == 10


async def test_acceptances_not_yet_written_count_before_a_wrong_token_does(push: Push) -> None:
    await push.answer(accepted=1)
    await push.answer(*several(MASS - 1))
    await push.answer(accepted=1)
    await push.count_quickly(1)
    await push.answer("last")
    assert (await push.account()).available
    assert await push.count_quickly() == 3


async def test_addresses_of_other_channels_are_none_of_its_business(push: Push) -> None:
    tokens = DeadTokens(push.database, push.accounts)
    await tokens.learn("demo", Channel.EMAIL, "main", [_refused("a", Fault.WRONG_TOKEN)], 1, START)
    assert not await push.database.rows(text("SELECT 1 FROM push_tallies"), {})
