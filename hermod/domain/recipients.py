"""Whom a message is for, in the one form in which addresses are compared: written in two ways, it is still one."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from hermod.contracts.addresses import EmailAddress, PhoneNumber
from hermod.contracts.content import Channel
from hermod.contracts.mailboxes import split_address

FINGERPRINT_BYTES: Final = 16
_EMAIL: Final[TypeAdapter[str]] = TypeAdapter(EmailAddress)
_PHONE: Final[TypeAdapter[str]] = TypeAdapter(PhoneNumber)


def bare(channel: Channel, to: str | dict[str, Any]) -> str:
    """The address alone: an email address in lower case and without a name, a number, a token, a browser's endpoint."""
    if not isinstance(to, str):
        return str(to.get("endpoint", ""))
    return split_address(to)[1].lower() if channel is Channel.EMAIL else to


def fingerprint(channel: Channel, to: str | dict[str, Any]) -> bytes:
    """What stands for the address in the tables of suppressions and devices, also after the address was erased.

    A phone number is the same for SMS and WhatsApp, so the channel is not part of it.
    """
    return hashlib.blake2b(bare(channel, to).encode(), digest_size=FINGERPRINT_BYTES).digest()


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
