"""Devices of contacts: one token, one contact; what an app registers counts again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text

from hermod.contracts.errors import NotFound
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.devices import MOST_DEVICES
from hermod.contracts.notifications.outcomes import Fault
from hermod.ports.notifications.hygiene import Refused
from hermod.storage.database.engine import Database
from hermod.storage.recipients.devices import Devices, Token
from hermod.storage.recipients.suppressions import Suppressions

NOW: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TOKEN: Final = "ExponentPushToken[ada]"
SUBSCRIPTION: Final[dict[str, Any]] = {"endpoint": "https://push.example.com/1", "keys": {"p256dh": "BA", "auth": "AA"}}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def devices(database: Database) -> Devices:
    return Devices(database)


async def held(devices: Devices, contact: str) -> list[str]:
    return [view.token for view in await devices.of("demo", contact)]


@pytest.mark.parametrize(
    ("token", "platform", "shown"), [(TOKEN, "expo", TOKEN), (SUBSCRIPTION, "webpush", "https://push.example.com/1")]
)
async def test_device_registered_is_listed_and_written_to(
    devices: Devices, token: Token, platform: str, shown: str
) -> None:
    saved = await devices.register("demo", "ada", token, NOW)
    assert saved.created
    assert (saved.view.platform, saved.view.token, saved.view.seen_at) == (platform, shown, NOW)
    assert await devices.of("demo", "ada") == [saved.view]
    assert await devices.tokens("demo", "ada") == [token]


async def test_device_registered_again_is_the_same_and_seen_later(devices: Devices) -> None:
    first = await devices.register("demo", "ada", TOKEN, NOW)
    again = await devices.register("demo", "ada", TOKEN, NOW + timedelta(days=1))
    assert not again.created
    assert again.view == first.view.model_copy(update={"seen_at": NOW + timedelta(days=1)})
    assert len(await devices.of("demo", "ada")) == 1


async def test_browser_with_new_keys_is_the_same_device_with_its_new_keys(devices: Devices) -> None:
    renewed = SUBSCRIPTION | {"keys": {"p256dh": "BB", "auth": "BB"}}
    await devices.register("demo", "ada", SUBSCRIPTION, NOW)
    await devices.register("demo", "ada", renewed, NOW)
    assert await devices.tokens("demo", "ada") == [renewed]


async def test_token_registered_by_somebody_else_moves_there(devices: Devices) -> None:
    await devices.register("demo", "ada", TOKEN, NOW)
    assert (await devices.register("demo", "bob", TOKEN, NOW)).created
    assert (await held(devices, "ada"), await held(devices, "bob")) == ([], [TOKEN])
    await devices.register("demo", "ada", TOKEN, NOW)
    assert (await held(devices, "ada"), await held(devices, "bob")) == ([TOKEN], [])


async def test_token_of_another_tenant_stays_there(devices: Devices) -> None:
    await devices.register("other", "ada", TOKEN, NOW)
    await devices.register("demo", "bob", TOKEN, NOW)
    assert await devices.tokens("other", "ada") == [TOKEN]


async def test_contact_who_never_had_a_device_is_nobody_and_one_who_lost_them_has_none(devices: Devices) -> None:
    assert await devices.tokens("demo", "ada") is None
    view = (await devices.register("demo", "ada", TOKEN, NOW)).view
    await devices.remove("demo", "ada", view.id, NOW)
    assert await devices.tokens("demo", "ada") == []
    assert await held(devices, "ada") == []


@pytest.mark.parametrize("device", ["dev_" + "0" * 32, "dev_", "nonsense", "dev_zz"])
async def test_device_that_is_not_there_is_removed_says_so(devices: Devices, device: str) -> None:
    await devices.register("demo", "ada", TOKEN, NOW)
    with pytest.raises(NotFound):
        await devices.remove("demo", "ada", device, NOW)
    assert await held(devices, "ada") == [TOKEN]


async def test_token_that_was_unregistered_counts_again_once_the_app_registers_it(
    devices: Devices, database: Database
) -> None:
    refused = [Refused(message="msg_1", to=TOKEN, fault=Fault.UNREGISTERED, code="DeviceNotRegistered")]
    await Suppressions(database).learn("demo", Channel.PUSH, "main", refused, 0, NOW)
    assert await database.rows(text("SELECT 1 FROM suppressions WHERE reason = 'unregistered'"), {})
    await devices.register("demo", "ada", TOKEN, NOW)
    assert not await database.rows(text("SELECT 1 FROM suppressions"), {})


async def test_more_devices_than_one_may_have_the_longest_unseen_makes_room(devices: Devices) -> None:
    for number in range(MOST_DEVICES + 2):
        await devices.register("demo", "ada", f"token-{number}", NOW + timedelta(minutes=number))
    kept = await held(devices, "ada")
    assert kept == [f"token-{number}" for number in range(MOST_DEVICES + 1, 1, -1)]
