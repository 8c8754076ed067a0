"""One address, however a provider writes it."""

from __future__ import annotations

import pytest

from hermod.contracts.notifications.content import Channel, Sms
from hermod.domain.notifications.recipients import as_reported, bare, fingerprint


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


SPELLINGS = [
    ("+5215512345678", "+525512345678"),
    ("+5491123456789", "+541123456789"),
    ("+551187654321", "+5511987654321"),
    ("+556298765432", "+5562998765432"),
]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.WHATSAPP])
def test_number_with_two_spellings_is_one_person(channel: Channel, one: str, other: str) -> None:
    assert fingerprint(channel, one) == fingerprint(Channel.SMS, other)
    assert fingerprint(channel, as_reported(channel, one.removeprefix("+"))) == fingerprint(channel, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+551133334444", "+5511933334444"),  # a landline of São Paulo has no ninth digit
        ("+5215512345678", "+525512345679"),
        ("+14155550100", "+4155550100"),
        ("+52155123456", "+5255123456"),
    ],
)
def test_other_numbers_are_other_people(one: str, other: str) -> None:
    assert fingerprint(Channel.SMS, one) != fingerprint(Channel.SMS, other)


@pytest.mark.parametrize("written", ["+5215512345678", "+52 1 55 1234 5678", "+541123456789", "+54 9 11 2345-6789"])
def test_either_spelling_is_a_number_to_send_to(written: str) -> None:
    assert Sms(to=written, body="Hola").to == "+" + "".join(filter(str.isdigit, written))
