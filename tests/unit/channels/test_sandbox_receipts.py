"""The sandbox's reports, read as any provider's, and every row of its table of words."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import Any, ClassVar

import orjson
import pytest

from devstack.sandbox.entry import Entry
from hermod.channels.registry import KITS
from hermod.channels.sandbox.receipts import WORDS, SandboxReceipts
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.ports.notifications.receipts import Callback, SignatureInvalid, Unreadable
from tests.unit.channels import samples
from tests.unit.channels.receipt_suite import MESSAGE, ReceiptConformance

SECRET = b"sandbox-secret"


def signed(body: bytes, timestamp: str | None = None) -> Callback:
    at = timestamp or str(int(samples.NOW.timestamp()))
    signature = hmac.new(SECRET, at.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {"sandbox-timestamp": at, "sandbox-signature": signature}
    return Callback(method="POST", url="https://hermod.example.com/x", headers=headers, body=body)


class TestSandboxReceipts(ReceiptConformance):
    provider = "sandbox"
    HAPPENINGS: ClassVar[frozenset[ReceiptEventType]] = frozenset(ReceiptEventType)
    SECRETS = ("webhook_secret",)

    def entry(self) -> Entry:
        return Entry(
            provider="sandbox",
            channel="email",
            message_id=MESSAGE,
            provider_message_id="sbx_1",
            sender=None,
            to=("ada@example.com",),
        )

    def malformed(self, call: Callback) -> Callback:
        return signed(b'{"events": {}}')

    async def test_inbound_message_says_what_was_written(self) -> None:
        event = await self.event(ReceiptEventType.INBOUND)
        assert (event.words, event.address, event.message_id) == ("STOP", "ada@example.com", None)

    async def test_bounce_has_code_and_text_without_the_address(self) -> None:
        event = await self.event(ReceiptEventType.BOUNCED)
        assert (event.code, event.text) == ("no_such_mailbox", "There is no mailbox [address].")

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"null", b'{"events": [1]}', b'{"events": [{"id": "1"}]}', b'{"events": [{"type": "x"}]}']
    )
    async def test_body_of_another_shape_is_unreadable(self, body: bytes) -> None:
        with pytest.raises(Unreadable):
            await self.read(signed(body))

    @pytest.mark.parametrize("timestamp", ["", "now", "-1", "1" * 12, "٣"])
    async def test_time_is_no_time_is_forged(self, timestamp: str) -> None:
        call = signed(b'{"events": []}', timestamp or "0")
        with pytest.raises(SignatureInvalid):
            await self.read(replace(call, headers={**call.headers, "sandbox-timestamp": timestamp}))

    async def test_header_comes_twice_is_forged(self) -> None:
        call = signed(b'{"events": []}')
        twice = f"{call.headers['sandbox-signature']}, {call.headers['sandbox-signature']}"
        with pytest.raises(SignatureInvalid):
            await self.read(replace(call, headers={**call.headers, "sandbox-signature": twice}))

    @pytest.mark.parametrize(("word", "kind"), WORDS.items())
    async def test_word_is_read_by_the_table(self, word: str, kind: ReceiptEventType) -> None:
        events: list[dict[str, Any]] = [{"id": 7, "type": word}, {"id": "8", "type": word, "at": "nonsense", "to": 5}]
        first, second = (await self.read(signed(orjson.dumps({"events": events})))).events
        assert (first.id, first.kind, first.at, second.id, second.at) == ("7", kind, None, "8", None)


def test_reader_is_the_kits() -> None:
    assert isinstance(KITS["sandbox"].receipts, SandboxReceipts)
