"""What every adapter must do, whoever the provider is. A provider's tests are a subclass that fills in the blanks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from hermod.channels.registry import CAPABILITIES, KITS, Senders
from hermod.contracts.ids import message_id
from hermod.contracts.notifications.content import AnyContent, Channel
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome, Throttled
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Outgoing, Sender
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.scripted import closed_port
from tests.unit.channels import samples

DEADLINE = 2.0
"""Seconds for one exchange here: long enough for a busy machine, short enough to wait for."""
UNRESOLVABLE = "nobody.invalid"


class SenderConformance:
    """Inherit as `TestX(SenderConformance)`. Every test builds its own sender, so that connections are its own."""

    provider: ClassVar[str]
    channel: ClassVar[Channel]
    sender: ClassVar[str | None]

    OUTCOMES: ClassVar[dict[str, Outcome]] = {
        "error_500": Outcome.UNKNOWN,
        "error_503": Outcome.UNKNOWN,
        "reset": Outcome.UNKNOWN,
        "accept_then_reset": Outcome.UNKNOWN,
        "wrong_content_type": Outcome.ACCEPTED,
        "html_error": Outcome.UNKNOWN,
        "truncated_json": Outcome.ACCEPTED,
        "bad_credentials": Outcome.ACCOUNT_HALTED,
        "rejected_recipient": Outcome.RECIPIENT_REJECTED,
        "rejected_message": Outcome.MESSAGE_REJECTED,
    }
    """What each fault of the sandbox comes to, for a provider that speaks HTTP."""
    STORED: ClassVar[frozenset[str]] = frozenset({"accept_then_reset", "wrong_content_type", "truncated_json"})
    """Faults behind which the message was taken."""

    def settings(self, counterpart: Counterpart) -> dict[str, Any]:
        """`credentials` and `base_url` of an account at the sandbox."""
        return {"credentials": self._credentials(), "base_url": f"{counterpart.url}/{self.provider}"}

    def settings_at(self, host: str, port: int) -> dict[str, Any]:
        """The same for any other host and port."""
        return {"credentials": self._credentials(), "base_url": f"http://{host}:{port}"}

    def content(self) -> AnyContent:
        """A message that the provider takes."""
        raise NotImplementedError

    @pytest.fixture
    async def senders(self) -> AsyncIterator[Senders]:
        senders = Senders(wiring=AdapterContext(guard=AddressGuard(allow_private=True), deadline=DEADLINE))
        yield senders
        await senders.aclose()

    async def test_send_is_accepted_and_arrives(self, senders: Senders, counterpart: Counterpart) -> None:
        message = self._outgoing()
        outcome = await self._sender(senders, counterpart).send(message)
        (item,) = await counterpart.inbox(self.provider)
        assert isinstance(outcome, Accepted), outcome
        assert outcome.provider_id == item["provider_message_id"]
        assert (item["message_id"], item["channel"]) == (message.id, self.channel)
        assert item["to"] == [self._recipient(message.content)]

    async def test_send_many_at_once_arrive_once_each(self, senders: Senders, counterpart: Counterpart) -> None:
        sender = self._sender(senders, counterpart)
        messages = [self._outgoing() for _ in range(30)]
        outcomes = await asyncio.gather(*(sender.send(message) for message in messages))
        assert {outcome.kind for outcome in outcomes} == {Outcome.ACCEPTED}
        items = await counterpart.inbox(self.provider)
        assert sorted(item["message_id"] for item in items) == sorted(message.id for message in messages)
        assert not any(item["repeats"] for item in items)

    async def test_send_again_is_recognised_where_the_provider_promises_it(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        sender = self._sender(senders, counterpart)
        identity = message_id()
        first = await sender.send(self._outgoing(id=identity))
        second = await sender.send(self._outgoing(id=identity, attempt=2))
        assert isinstance(first, Accepted)
        assert isinstance(second, Accepted)
        items = await counterpart.inbox(self.provider)
        if sender.capability.idempotency_key:
            assert first.provider_id == second.provider_id
            assert [item["repeats"] for item in items] == [1]
        else:
            assert len(items) == 2

    @pytest.mark.parametrize("retry_after", [None, 7])
    async def test_send_throttled_is_throttled(
        self, senders: Senders, counterpart: Counterpart, retry_after: int | None
    ) -> None:
        await counterpart.fail(self.provider, "throttle", retry_after=retry_after)
        outcome = await self._sender(senders, counterpart).send(self._outgoing())
        assert isinstance(outcome, Throttled), outcome
        if retry_after is not None and CAPABILITIES[self.provider].retry_after:
            assert outcome.retry_after == retry_after
        assert await counterpart.inbox(self.provider) == []

    @pytest.mark.parametrize("fault", sorted(OUTCOMES))
    async def test_send_fault_is_read_for_what_it_is(
        self, senders: Senders, counterpart: Counterpart, fault: str
    ) -> None:
        await counterpart.fail(self.provider, fault)
        message = self._outgoing()
        outcome = await self._sender(senders, counterpart).send(message)
        assert outcome.kind is self.OUTCOMES[fault], outcome
        assert len(await counterpart.inbox(self.provider)) == (fault in self.STORED)
        assert self._recipient(message.content) not in (outcome.error or "")
        if outcome.kind is not Outcome.ACCEPTED:
            assert outcome.error
            assert "\n" not in outcome.error

    async def test_send_slow_answer_within_the_deadline_is_accepted(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        await counterpart.fail(self.provider, "slow", delay=0.3)
        assert isinstance(await self._sender(senders, counterpart).send(self._outgoing()), Accepted)

    async def test_send_answer_after_the_deadline_is_unknown_in_time(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        await counterpart.fail(self.provider, "accept_then_timeout", delay=60)
        started = time.perf_counter()
        outcome = await self._sender(senders, counterpart).send(self._outgoing())
        assert outcome.kind is Outcome.UNKNOWN, outcome
        assert DEADLINE * 0.9 < time.perf_counter() - started < 60
        assert len(await counterpart.inbox(self.provider)) == 1

    async def test_send_after_every_fault_works_again(self, senders: Senders, counterpart: Counterpart) -> None:
        sender = self._sender(senders, counterpart)
        for fault in sorted(self.OUTCOMES):
            await counterpart.fail(self.provider, fault, times=1)
            await sender.send(self._outgoing())
            await counterpart.mend()
            outcome = await sender.send(self._outgoing())
            assert isinstance(outcome, Accepted), (fault, outcome)

    async def test_send_cancelled_ends_at_once_and_leaves_the_sender_usable(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        sender = self._sender(senders, counterpart)
        await counterpart.fail(self.provider, "accept_then_timeout", delay=60, times=1)
        task = asyncio.create_task(sender.send(self._outgoing()))
        async with asyncio.timeout(5):
            while not await counterpart.inbox(self.provider):
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 1)
        assert isinstance(await sender.send(self._outgoing()), Accepted)

    async def test_send_refused_connection_is_transient(self, senders: Senders) -> None:
        outcome = await self._sent_to(senders, "127.0.0.1", closed_port())
        assert (outcome.kind, outcome.error_code) == (Outcome.TRANSIENT, "connect")

    async def test_send_host_that_does_not_resolve_is_transient(self, senders: Senders) -> None:
        outcome = await self._sent_to(senders, UNRESOLVABLE, 2525)
        assert outcome.kind is Outcome.TRANSIENT
        assert outcome.error_code in ("dns", "connect_timeout")

    def _credentials(self) -> dict[str, str]:
        return dict(KITS[self.provider].example.credentials)

    def _sender(self, senders: Senders, counterpart: Counterpart) -> Sender:
        return senders.sender(self._account(self.settings(counterpart)))

    async def _sent_to(self, senders: Senders, host: str, port: int) -> AnyOutcome:
        return await senders.sender(self._account(self.settings_at(host, port))).send(self._outgoing())

    def _account(self, settings: dict[str, Any]) -> Account:
        return samples.account(
            self.provider, channel=self.channel, from_=self.sender, **({"base_url": None} | settings)
        )

    def _outgoing(self, **changes: Any) -> Outgoing:
        content = changes.pop("content", None) or self.content()
        fields = {"id": message_id(), "sender": self.sender, "request_id": "req_conformance"}
        return samples.outgoing(content, **(fields | changes))

    def _recipient(self, content: AnyContent) -> str:
        return str(content.to)
