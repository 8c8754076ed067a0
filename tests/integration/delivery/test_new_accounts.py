"""An account that another process has put a moment ago is there for the next message, whatever list is kept."""

from __future__ import annotations

import asyncio

from pydantic import SecretStr

from hermod.contracts.notifications.content import Channel, Email, Sms
from hermod.contracts.notifications.messages import Status
from hermod.contracts.tenants.accounts import AccountInput
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.accounts import ProviderAccounts
from tests.support.product import ProductFixture

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


async def put_elsewhere(
    house: ProductFixture, name: str, *, channel: Channel = Channel.EMAIL, enabled: bool = True
) -> None:
    """As another process does it: the lists of this one do not hear of it."""
    core = house.hermod.core
    other = ProviderAccounts(core.storage.database, Vault(core.settings.secret_key.get_secret_value()))
    account = AccountInput(
        channel=channel,
        provider="sandbox",
        credentials={"api_key": SecretStr("key")},
        base_url=f"{house.sandbox.url}/sandbox" if house.sandbox else None,
        from_="shop@example.com" if channel is Channel.EMAIL else "+14155550199",
        enabled=enabled,
    )
    await other.put(house.hermod.tenant, name, account, actor="test", now=core.clock.now())


async def warm(house: ProductFixture) -> None:
    """Have the lists of this process read."""
    await house.hermod.core.storage.accounts.names(house.hermod.tenant)


async def test_message_that_names_a_new_account_is_sent_at_once(house: ProductFixture) -> None:
    await house.add_account("main")
    for number in range(3):
        await warm(house)
        await put_elsewhere(house, f"new-{number}")
        receipt = await house.hermod.send(LETTER, provider_account=f"new-{number}")
        view = await house.ended(receipt.id)
        assert view.status is Status.SENT
        assert not any(decision.kind == "wait" for decision in view.decisions)


async def test_batch_for_a_channel_with_a_new_account_is_taken(house: ProductFixture) -> None:
    await house.add_account("main")
    await warm(house)
    await put_elsewhere(house, "texts", channel=Channel.SMS)
    batch = await house.hermod.send_many([LETTER, Sms(to="+14155550100", body="Hello")])
    assert not batch.rejected
    assert [(await house.ended(one.id)).status for one in batch.receipts] == [Status.SENT] * 2


async def test_account_that_was_enabled_a_moment_ago_sends(house: ProductFixture) -> None:
    await house.add_account("main", enabled=False)
    await warm(house)
    await put_elsewhere(house, "main")
    view = await house.ended((await house.hermod.send(LETTER)).id)
    assert view.status is Status.SENT
    assert not any(decision.kind == "wait" for decision in view.decisions)


async def test_reports_of_a_new_account_are_known(house: ProductFixture) -> None:
    await house.add_account("main")
    await warm(house)
    await put_elsewhere(house, "new")
    find = house.hermod.core.storage.accounts.find
    found, nobody = await asyncio.gather(find(house.hermod.tenant, "new"), find(house.hermod.tenant, "nobody"))
    assert found is not None
    assert nobody is None
