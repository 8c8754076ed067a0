"""`hermod suppressions`, and what a provider reported in a message's story."""

from __future__ import annotations

import pytest

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.ports.notifications.receipts import Event
from tests.integration.cli.conftest import Cli, send


async def test_suppression_added_is_listed_and_removed(cli: Cli) -> None:
    await cli.ready()
    assert "no suppressions" in (await cli.run("suppressions", "list")).stdout
    one = await cli.json("suppressions", "add", "Ada@example.com", "--category", "marketing", "--until", "+7d")
    assert (one["address"], one["category"], one["reason"], one["source"]) == (
        "ada@example.com",
        "marketing",
        "manual",
        "cli",
    )
    assert one["expires_at"] is not None
    assert (await cli.json("suppressions", "list", "--address", "ADA@example.com"))["items"] == [one]
    assert (await cli.json("suppressions", "list", "--channel", "sms"))["items"] == []
    shown = (await cli.run("suppressions", "list")).stdout
    assert "ada@example.com" in shown
    assert one["id"] in (await cli.run("suppressions", "remove", one["id"])).stdout
    await cli.run("suppressions", "remove", one["id"], code=1)
    assert (await cli.json("suppressions", "list")) == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nonsense@"], 1, "address"),
        (["ada@example.com", "--until", "soon"], 2, "2030-05-01T12:00:00Z"),
        (["ada@example.com", "--until", "2020-01-01T00:00:00Z"], 1, "expires_at"),
        (["ada@example.com", "--channel", "pigeon"], 2, "pigeon"),
        ([], 2, "Missing argument"),
    ],
)
async def test_suppression_is_wrong_says_what(cli: Cli, arguments: list[str], code: int, said: str) -> None:
    await cli.ready()
    assert said in (await cli.run("suppressions", "add", *arguments, code=code)).stderr


async def test_story_tells_what_the_provider_reported(cli: Cli) -> None:
    await cli.ready()
    message = await send(cli)
    await cli.put_into(message, Status.SENT)
    event = Event(id="1", kind=ReceiptEventType.BOUNCED, word="bounce/hard", code="5.1.1", message_id=message)
    core = cli.hermod.core
    await core.storage.receipts.take("shop", "main", Channel.EMAIL, [event], core.clock.now())
    shown = (await cli.run("status", message)).stdout
    assert "bounce/hard" in shown
    assert "hard_bounce" in shown
    assert (await cli.json("status", message))["receipts"][0]["code"] == "5.1.1"
