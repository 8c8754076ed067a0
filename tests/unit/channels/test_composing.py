"""A message of which no request can be made is refused, alone, and before anything has left."""

from __future__ import annotations

from typing import Any

import pytest

from hermod.channels.registry import KITS, build
from hermod.contracts.notifications.content import AnyContent, Channel
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome
from hermod.ports.notifications.sender import Outgoing
from tests.unit.channels.samples import account, email, outgoing, reply, wiring

MAILERS = sorted(name for name, kit in KITS.items() if Channel.EMAIL in kit.adapter.capability.channels)
HALF_A_PAIR = "\ud83d"


def broken(**changes: Any) -> AnyContent:
    return email().model_copy(update=changes)


@pytest.mark.parametrize("provider", MAILERS)
@pytest.mark.parametrize("changes", [{"text": HALF_A_PAIR}, {"subject": HALF_A_PAIR}])
async def test_message_that_cannot_be_written_is_refused_and_no_request_is_made(
    provider: str, changes: dict[str, Any]
) -> None:
    sender = build(account(provider, channel=Channel.EMAIL), wiring())
    outcome = await sender.send(outgoing(broken(**changes)))
    assert (outcome.kind, outcome.error_code) == (Outcome.MESSAGE_REJECTED, "not_composed")
    assert HALF_A_PAIR not in (outcome.error or "")
    await sender.aclose()


@pytest.mark.parametrize("provider", ["postmark", "resend"])
async def test_batch_goes_without_the_message_that_cannot_be_written(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender: Any = build(account(provider), wiring())
    asked: list[Outgoing] = []

    def read(answer: object, messages: list[Outgoing]) -> list[AnyOutcome]:
        asked.extend(messages)
        return [Accepted(status_code=200) for _ in messages]

    async def exchange(request: object, *, fresh: bool = False) -> Any:
        return reply(200)

    monkeypatch.setattr(sender, "exchange", exchange)
    monkeypatch.setattr(sender, "batch_outcomes", read)
    contents = [email(), broken(text=HALF_A_PAIR), email()]
    messages = [outgoing(content, id=f"msg_{place}") for place, content in enumerate(contents)]
    assert sender.batchable(contents[0])
    outcomes = await sender.send_batch(messages)
    assert [outcome.kind for outcome in outcomes] == [Outcome.ACCEPTED, Outcome.MESSAGE_REJECTED, Outcome.ACCEPTED]
    assert [one.id for one in asked] == ["msg_0", "msg_2"]
    await sender.aclose()
