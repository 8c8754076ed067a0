"""One address, however a provider writes it."""

from __future__ import annotations

import pytest

from hermod.contracts.content import Channel
from hermod.domain.recipients import as_reported, bare, fingerprint


@pytest.mark.parametrize(
    ("channel", "reported", "ours"),
    [
        (Channel.EMAIL, "ADA@Example.COM", "ada@example.com"),
        (Channel.EMAIL, "Ada <ada@example.com>", "ada@example.com"),
        (Channel.EMAIL, "ada@xn--bcher-kva.example", "ada@bücher.example"),
        (Channel.SMS, "14155550100", "+14155550100"),
        (Channel.SMS, " +1 415-555-0100", "+14155550100"),
        (Channel.WHATSAPP, "14155550100", "+14155550100"),
        (Channel.PUSH, "ToKen", "ToKen"),
    ],
)
def test_address_as_a_provider_writes_it_is_the_one_that_we_know(channel: Channel, reported: str, ours: str) -> None:
    assert as_reported(channel, reported) == bare(channel, ours)
    assert fingerprint(channel, as_reported(channel, reported)) == fingerprint(channel, ours)


@pytest.mark.parametrize(
    ("channel", "reported"), [(Channel.EMAIL, "not an address"), (Channel.SMS, "HERMOD"), (Channel.SMS, "32665")]
)
def test_address_that_is_none_stays_as_it_is(channel: Channel, reported: str) -> None:
    assert as_reported(channel, reported) == reported
