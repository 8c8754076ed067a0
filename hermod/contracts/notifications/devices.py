"""The devices of a contact: where a push message to the contact goes."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from hermod.contracts.notifications.content import Line
from hermod.contracts.values.model import Model
from hermod.contracts.values.plain_json import PlainObject

CONTACT_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}$"
ENDPOINT_PATTERN: Final = r"^https?://[^\s]{1,2000}$"
MOST_KEY: Final = 1_000
"""Characters of one of a subscription's keys; browsers give less than a hundred."""
MOST_DEVICES: Final = 50
"""Of one contact; of more, the one that was not seen for the longest time makes room."""

_CONTACT: Final = re.compile(CONTACT_PATTERN)
_HEX: Final = re.compile(r"[0-9A-Fa-f]{64,}")


def is_contact_id(text: str) -> bool:
    """Whether this may name a contact.

    No token may: Expo's have brackets, Google's are longer, and Apple's are excluded by their form, so that a message
    to one is never taken for one to a contact.
    """
    return _CONTACT.fullmatch(text) is not None and _HEX.fullmatch(text) is None


def _contact(value: str) -> str:
    if not is_contact_id(value):
        raise ValueError(
            "must have up to 128 letters, digits and . _ : @ + -, begin with a letter or a digit, "
            "and not look like an Apple device token"
        )
    return value


ContactId = Annotated[str, AfterValidator(_contact), Field(json_schema_extra={"pattern": CONTACT_PATTERN})]
"""A contact by the tenant's own name for it: `42`, `user-7`, an email address."""


_KEY: Final = {"type": "string", "maxLength": MOST_KEY}
Subscription = Annotated[
    PlainObject,
    Field(
        json_schema_extra={
            "required": ["endpoint", "keys"],
            "properties": {
                "endpoint": {"type": "string", "pattern": ENDPOINT_PATTERN},
                "keys": {
                    "type": "object",
                    "required": ["p256dh", "auth"],
                    "properties": {"p256dh": _KEY, "auth": _KEY},
                },
            },
        }
    ),
]
"""As a browser's `PushManager` gives it."""


def _is_key(given: object) -> bool:
    return isinstance(given, str) and len(given) <= MOST_KEY


class DeviceInput(Model):
    """`PUT /v1/contacts/{id}/devices`: an app's token, or the subscription object of a browser."""

    token: Annotated[Line, StringConstraints(min_length=1, max_length=998)] | Subscription = Field(
        description="As Firebase, Apple, Expo or `PushManager.subscribe` gave it."
    )

    @field_validator("token")
    @classmethod
    def _is_subscription(cls, token: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(token, str):
            return token
        endpoint, keys = token.get("endpoint"), token.get("keys")
        if not isinstance(endpoint, str) or not re.match(ENDPOINT_PATTERN, endpoint):
            raise ValueError("a subscription needs its endpoint, a URL")
        if not isinstance(keys, dict) or not all(_is_key(keys.get(name)) for name in ("p256dh", "auth")):
            raise ValueError("a subscription needs its keys, p256dh and auth")
        return token


class DeviceView(Model):
    """One device. `token` is a browser's endpoint where there is a subscription; its keys are not shown."""

    id: str
    platform: str
    token: str
    created_at: datetime
    seen_at: datetime
    """When the app last registered it."""
    suspect_since: datetime | None
    """Since when its push service calls the token wrong. It is removed when it is clear that the account is not."""


class DeviceList(Model):
    items: tuple[DeviceView, ...]
    next_cursor: str | None = None


class DeviceReport(Model):
    """What one look at suspect tokens came to."""

    removed: int = 0
    kept: int = 0
    """Suspects of accounts that have so many that the account itself may be wrong."""


class PollReport(Model):
    """What one round of asking providers for their receipts came to."""

    asked: int = 0
    told: int = 0
    failed: int = 0
    """Accounts that gave no answer; they are asked again in the next round."""
