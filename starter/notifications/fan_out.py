"""A push message to a contact becomes one message for each of the contact's devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from typing import Final

from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Push
from hermod.contracts.notifications.devices import MOST_DEVICES, is_contact_id
from hermod.storage.notifications.acceptance import Acceptance, Ready
from hermod.storage.recipients.devices import Devices, Token

_JOINT: Final = "\x1f"
"""Between a caller's key and our number: no caller's key can contain it, so none is ever taken for one of ours."""


class FanOut:
    def __init__(self, devices: Devices, acceptance: Acceptance) -> None:
        self._devices = devices
        self._acceptance = acceptance

    async def spread(self, tenant: str, ready: Ready) -> tuple[Ready, ...]:
        """The message as it is; or, where it is to a contact, one for each device, last seen first.

        A `to` that nobody ever registered a device for is a token. Raises InvalidInput for a contact that has none any
        more. A repeat under an idempotency key is what it was the first time, whatever devices there are by now.
        """
        content = ready.content
        if not isinstance(content, Push) or not isinstance(content.to, str) or not is_contact_id(content.to):
            return (ready,)
        known = await self._known(tenant, ready.submission.idempotency_key)
        if known:
            return _for_each(ready, [content.to] * known)
        tokens = await self._devices.tokens(tenant, content.to)
        if tokens is None:
            return (ready,)
        if not tokens:
            raise InvalidInput.of("to", f"contact {content.to} has no devices")
        return _for_each(ready, tokens)

    async def _known(self, tenant: str, key: str | None) -> int:
        """How many messages the key made when it came first."""
        return await self._acceptance.used(tenant, _keys(key, MOST_DEVICES)) if key is not None else 0


def _for_each(ready: Ready, tokens: Sequence[Token]) -> tuple[Ready, ...]:
    keys = _keys(ready.submission.idempotency_key, len(tokens))
    return tuple(
        replace(
            ready,
            submission=ready.submission.model_copy(update={"idempotency_key": key}),
            content=ready.content.model_copy(update={"to": token}),
        )
        for key, token in zip(keys or repeat(None, len(tokens)), tokens, strict=True)
    )


def _keys(key: str | None, count: int) -> list[str]:
    """The keys of the messages that one call makes; none where the call has none."""
    return [key, *(f"{key}{_JOINT}{number}" for number in range(2, count + 1))] if key is not None else []
