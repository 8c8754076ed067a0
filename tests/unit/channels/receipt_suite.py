"""What every reader of receipts must do, whoever the provider is. A provider's tests are a subclass.

The calls come from the sandbox's side of the provider, which signs as the vendor does; the vendor's own vectors are
the business of each provider's tests.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest

from devstack.sandbox.entry import Entry
from devstack.sandbox.providers.contract import HttpProvider, Target
from devstack.sandbox.providers.registry import HTTP_PROVIDERS
from hermod.channels.registry import KITS
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.tenants.accounts import Account
from hermod.ports.notifications.receipts import (
    Callback,
    Event,
    ParsedReceipt,
    ReceiptContext,
    SignatureInvalid,
    Unreadable,
)
from tests.unit.channels import samples

URL = "https://hermod.example.com/ingress/receipts/{provider}/demo/main"
MESSAGE = "msg_019aa1c2d3e40123456789abcdef"


class ReceiptConformance:
    """Inherit as `TestXReceipts(ReceiptConformance)`."""

    provider: ClassVar[str]
    HAPPENINGS: ClassVar[frozenset[ReceiptEventType]]
    """What the vendor reports; each must be read as what it is."""
    SECRETS: ClassVar[tuple[str, ...]]
    """The credentials that the check needs."""
    SIGNS_BODY: ClassVar[bool] = True
    """Whether the signature covers the body."""
    SIGNS_TIME: ClassVar[bool] = True
    """Whether the signature covers a time, so that an old call can be told."""
    DISTANT: ClassVar[tuple[timedelta, ...]] = (timedelta(hours=-2), timedelta(hours=2))
    """How far from now a signed time is not believed; a vendor that calls again with the old one is believed longer."""
    CARRIES_OUR_ID: ClassVar[bool] = True
    """Whether our message id comes back."""
    STAND_ALONE: ClassVar[frozenset[ReceiptEventType]] = frozenset({ReceiptEventType.INBOUND})
    """What is not about a message of ours."""

    def entry(self) -> Entry:
        """A message that the sandbox took."""
        raise NotImplementedError

    def malformed(self, call: Callback) -> Callback | None:
        """The same call, properly signed, with a body that is not what the vendor sends; None where it cannot be."""
        return None

    async def fetch(self, url: str) -> bytes:
        raise AssertionError(f"nothing is fetched for a call of {self.provider}: {url}")

    @property
    def counterpart(self) -> HttpProvider:
        return next(one for one in HTTP_PROVIDERS if one.name == self.provider)

    def account(self, **changes: Any) -> Account:
        return samples.account(self.provider, **changes)

    def call(self, happening: ReceiptEventType, *, now: datetime = samples.NOW) -> Callback:
        target = Target(URL.format(provider=self.provider), self.account().credentials, now)
        call = self.counterpart.report(self.entry(), happening.value, target)
        assert call is not None, happening
        headers = {name.lower(): value for name, value in call.headers.items()}
        return Callback(method=call.method, url=call.path, headers=headers, body=call.body)

    async def read(self, call: Callback, account: Account | None = None) -> ParsedReceipt:
        reader = KITS[self.provider].receipts
        assert reader is not None
        return await reader.read(call, account or self.account(), ReceiptContext(now=samples.NOW, fetch=self.fetch))

    async def event(self, happening: ReceiptEventType) -> Event:
        (event,) = (await self.read(self.call(happening))).events
        return event

    async def test_report_is_read_as_what_it_is(self) -> None:
        read = {happening: await self.event(happening) for happening in self.HAPPENINGS}
        assert {happening: event.kind for happening, event in read.items()} == {one: one for one in self.HAPPENINGS}
        entry = self.entry()
        for happening, event in read.items():
            assert event.word
            assert 0 < len(event.id) <= 200
            if happening not in self.STAND_ALONE:
                assert event.message_id == (entry.message_id if self.CARRIES_OUR_ID else None)
                assert event.message_id or event.provider_message_id == entry.provider_message_id
                assert not event.text or entry.to[0] not in event.text

    async def test_report_other_happenings_have_other_ids(self) -> None:
        ids = [(await self.event(happening)).id for happening in sorted(self.HAPPENINGS)]
        assert len(set(ids)) == len(ids)

    async def test_report_repeated_has_the_same_ids(self) -> None:
        call = self.call(min(self.HAPPENINGS))
        assert [event.id for event in (await self.read(call)).events] == [
            event.id for event in (await self.read(call)).events
        ]

    async def test_report_altered_is_forged(self) -> None:
        if not self.SIGNS_BODY:
            pytest.skip(f"{self.provider} does not sign the body")
        call = self.call(min(self.HAPPENINGS))
        altered = Callback(method=call.method, url=call.url, headers=call.headers, body=call.body + b" ")
        with pytest.raises(SignatureInvalid):
            await self.read(altered)

    async def test_report_of_another_secret_is_forged(self) -> None:
        call = self.call(min(self.HAPPENINGS))
        for secret in self.SECRETS:
            other = {**self.account().credentials, secret: self.other_secret(secret)}
            with pytest.raises(SignatureInvalid):
                await self.read(call, self.account(credentials=other))

    def other_secret(self, name: str) -> str:
        """Another secret of the same form."""
        return self.account().credentials[name][::-1]

    async def test_report_without_the_secret_is_forged(self) -> None:
        call = self.call(min(self.HAPPENINGS))
        for secret in self.SECRETS:
            left = {name: value for name, value in self.account().credentials.items() if name != secret}
            with pytest.raises(SignatureInvalid):
                await self.read(call, self.account(credentials=left))

    async def test_report_without_headers_and_query_is_forged(self) -> None:
        call = self.call(min(self.HAPPENINGS))
        bare = Callback(method=call.method, url=call.url.partition("?")[0], headers={}, body=b"")
        with pytest.raises(SignatureInvalid):
            await self.read(bare)

    async def test_report_from_another_time_is_forged(self) -> None:
        if not self.SIGNS_TIME:
            pytest.skip(f"{self.provider} signs no time")
        for distance in self.DISTANT:
            with pytest.raises(SignatureInvalid):
                await self.read(self.call(min(self.HAPPENINGS), now=samples.NOW + distance))

    async def test_report_malformed_is_unreadable(self) -> None:
        call = self.malformed(self.call(min(self.HAPPENINGS)))
        if call is None:
            pytest.skip(f"{self.provider} cannot sign what is malformed")
        with pytest.raises(Unreadable):
            await self.read(call)
