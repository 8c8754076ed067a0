"""Addresses as pydantic types: what passes is normalised, what does not says why.

Syntax only: no name is resolved and nobody is asked. Email by email-validator, phone numbers by phonenumbers
(E.164, `+` and country code required, a possible number; numbering plans change too often to ask for more).
"""

from __future__ import annotations

import re
from email.utils import formataddr, parseaddr
from typing import Annotated, Final

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, StringConstraints, ValidationInfo

_MEXICO: Final = 52
_MEXICAN_MOBILE: Final = re.compile(r"1\d{10}")
TRUSTED: Final = {"trusted": True}
"""Validation context for what was checked before and comes back from the ledger: costly checks are skipped."""


def is_trusted(info: ValidationInfo) -> bool:
    return info.context is TRUSTED


def split_address(address: str) -> tuple[str, str]:
    """`("Ada", "ada@example.com")` for `Ada <ada@example.com>`; the name is empty where there is none."""
    return parseaddr(address) if "<" in address else ("", address)


def _email(value: str, info: ValidationInfo) -> str:
    if is_trusted(info):
        return value
    name, address = split_address(value.strip())
    if any(ord(character) < 32 for character in value):
        raise ValueError("an address must not contain line breaks or control characters")
    try:
        normalised = validate_email(address, check_deliverability=False).normalized
    except EmailNotValidError as reason:
        raise ValueError(str(reason)) from None
    if not name:
        return normalised
    if name.isascii() and normalised.isascii():
        return formataddr((name, normalised))
    # A name of another script stays readable in the record; adapters encode it as their wire wants.
    return f'"{name.replace(chr(34), "").replace(chr(92), "")}" <{normalised}>'


def _phone(value: str, info: ValidationInfo) -> str:
    if is_trusted(info):
        return value
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        raise ValueError("not a phone number; write it with + and the country code, like +14155550100") from None
    if not (phonenumbers.is_possible_number(number) or _is_older_spelling(number)):
        raise ValueError("no such phone number is possible; write it with + and the country code, like +14155550100")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _is_older_spelling(number: phonenumbers.PhoneNumber) -> bool:
    """Mexico's mobile numbers had a 1 after the country code until 2019; WhatsApp still writes it."""
    return number.country_code == _MEXICO and _MEXICAN_MOBILE.fullmatch(str(number.national_number)) is not None


EmailAddress = Annotated[str, StringConstraints(max_length=998), AfterValidator(_email)]
"""`ada@example.com` or `Ada <ada@example.com>`."""

PhoneNumber = Annotated[str, AfterValidator(_phone)]
"""E.164: `+14155550100`."""
