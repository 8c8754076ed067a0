"""Whom a message is for, in the one form in which addresses are compared: written in two ways, it is still one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from hermod.contracts.notifications.content import AnyContent, Channel, Email
from hermod.contracts.values.addresses import EmailAddress, PhoneNumber
from hermod.contracts.values.mailboxes import split_address

FINGERPRINT_BYTES: Final = 16
_SPELLINGS: Final = (
    (re.compile(r"\+521(\d{10})"), r"+52\1"),
    (re.compile(r"\+549(\d{10})"), r"+54\1"),
    (re.compile(r"\+55(\d\d)([6-9]\d{7})"), r"+55\g<1>9\2"),
)
_EMAIL: Final[TypeAdapter[str]] = TypeAdapter(EmailAddress)
_PHONE: Final[TypeAdapter[str]] = TypeAdapter(PhoneNumber)


def bare(channel: Channel, to: str | dict[str, Any]) -> str:
    """The address alone: an email address in lower case and without a name, a number, a token, a browser's endpoint."""
    if not isinstance(to, str):
        return str(to.get("endpoint", ""))
    return split_address(to)[1].lower() if channel is Channel.EMAIL else to


def fingerprint(channel: Channel, to: str | dict[str, Any]) -> bytes:
    """What stands for the address in the tables of suppressions and devices, also after the address was erased.

    A phone number is the same for SMS and WhatsApp, so the channel is not part of it, and the same in both spellings
    that it may have (`one_spelling`).
    """
    address = bare(channel, to)
    if channel in (Channel.SMS, Channel.WHATSAPP):
        address = one_spelling(address)
    return hashlib.blake2b(address.encode(), digest_size=FINGERPRINT_BYTES).digest()


def one_spelling(number: str) -> str:
    """A phone number in E.164 in the spelling by which it is compared.

    Three countries changed how mobile numbers are written, and WhatsApp and carriers still use both forms: Mexico's 1
    after 52, Argentina's 9 after 54, Brazil's ninth digit (mobile numbers begin with 6 to 9, others have eight).
    """
    for spelling, other in _SPELLINGS:
        if found := spelling.fullmatch(number):
            return found.expand(other)
    return number


def in_copy(content: AnyContent) -> tuple[str, ...]:
    """Whom a message goes to besides `to`."""
    return (*content.cc, *content.bcc) if isinstance(content, Email) else ()


def without_copies(content: AnyContent, gone: Collection[str]) -> AnyContent:
    """The message without these in copy."""
    if not isinstance(content, Email):
        return content
    left = {
        "cc": tuple(one for one in content.cc if one not in gone),
        "bcc": tuple(one for one in content.bcc if one not in gone),
    }
    return content.model_copy(update=left)


def as_reported(channel: Channel, address: str) -> str:
    """The bare form of an address that a provider names, which may be written otherwise than ours: `14155550100`.

    What is no address of the channel stays as it is: it will be nobody's.
    """
    try:
        if channel is Channel.EMAIL:
            return bare(channel, _EMAIL.validate_python(address))
        if channel is Channel.PUSH:
            return address
        return _PHONE.validate_python(f"+{address.strip().removeprefix('+')}")
    except ValidationError:
        return bare(channel, address)
