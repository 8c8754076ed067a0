"""Addresses as pydantic types: what passes is normalised, what does not says why.

Syntax only: no name is resolved and nobody is asked. Email by email-validator, the names beside them by `mailboxes`,
phone numbers by phonenumbers (E.164, `+` and country code required, a possible number; numbering plans change too often
to ask for more).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Final

import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo

from hermod.contracts.values.mailboxes import split_address, written
from hermod.contracts.values.text import is_line

_MEXICO: Final = 52
_MEXICAN_MOBILE: Final = re.compile(r"1\d{10}")
TRUSTED: Final = {"trusted": True}
"""Validation context for what was checked before and comes back from the ledger: costly checks are skipped, and what an
earlier version took is not refused."""

WORDED: Final = {"worded": True}
"""Validation context for a content that was checked before and got new words from a template: those are checked."""

_LABELS: Final = re.compile(r"(?!.{254})[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


def is_trusted(info: ValidationInfo) -> bool:
    """Whether addresses and files were checked before."""
    return info.context is TRUSTED or info.context is WORDED


def is_stored(info: ValidationInfo) -> bool:
    """Whether all of it comes back from the ledger."""
    return info.context is TRUSTED


def is_domain(name: str) -> bool:
    """Whether it has the form of a domain in ASCII, of one label or more."""
    return _LABELS.fullmatch(name.lower()) is not None


def is_local_domain(domain: str) -> bool:
    """Whether a domain means something on one's own network only: `localhost`, `mailhost`, `server.local`, `x.test`.

    Such an address is well formed. Whether it is taken is a setting's business, see `hermod.domain.acceptance`.
    """
    return "." not in domain or domain.lower().rpartition(".")[2] in SPECIAL_USE_DOMAIN_NAMES


def local_domain_fault(address: str, allowed: Collection[str]) -> str | None:
    """Why an address, as the types here give it, cannot be taken where only `allowed` domains are local; None: it can.

    `allowed` names domains in lower case; each stands for those below it, too.
    """
    domain = split_address(address)[1].rpartition("@")[2].lower()
    if not is_local_domain(domain) or any(domain == one or domain.endswith(f".{one}") for one in allowed):
        return None
    return f"{domain} is no public domain; HERMOD_LOCAL_EMAIL_DOMAINS names the local ones that are taken"


def _email(value: str, info: ValidationInfo) -> str:
    if is_trusted(info):
        return value
    if not is_line(value):
        raise ValueError("an address must not contain line breaks or control characters")
    name, address = split_address(value)
    return written(name, _address(address))


def _address(address: str) -> str:
    """The address normalised. Raises ValueError."""
    local, _, domain = address.rpartition("@")
    local_domain = is_domain(domain) and is_local_domain(domain)
    checked = f"{local}@local.example.com" if local_domain else address
    try:
        normalised = validate_email(checked, check_deliverability=False, allow_quoted_local=True).normalized
    except EmailNotValidError as reason:
        raise ValueError(str(reason)) from None
    if "=?" in normalised:
        # Some mail servers read an encoded word even here, and see another address behind it.
        raise ValueError("the part before the @ must not look like an encoded word (=?...?=)")
    return f"{normalised.rpartition('@')[0]}@{domain.lower()}" if local_domain else normalised


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


EMAIL_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+@[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
PHONE_PATTERN: Final = r"[+\uff0b].*[0-9]"
"""As far as a pattern goes, for the reference."""

EmailAddress = Annotated[
    str, StringConstraints(max_length=998), AfterValidator(_email), Field(json_schema_extra={"pattern": EMAIL_PATTERN})
]
"""`ada@example.com` or `Ada <ada@example.com>`; `"a b"@example.com` where the part before the @ needs its quotes."""

MOST_PHONE: Final = 250
"""Characters that are looked at for a phone number."""
PhoneNumber = Annotated[
    str, AfterValidator(_phone), Field(json_schema_extra={"maxLength": MOST_PHONE, "pattern": PHONE_PATTERN})
]
"""E.164: `+14155550100`."""
