"""What people write back: keywords are acted on by the receipts, all else becomes an event for a person to read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.tenants.accounts import Account
from hermod.contracts.webhooks.deliveries import EventInput
from hermod.domain.notifications.keywords import Keyword, keyword
from hermod.domain.notifications.recipients import as_reported
from hermod.ports.notifications.receipts import Event
from hermod.telemetry import get_logger
from starter.services import Services

REPLIED: Final = "message.replied"
LONGEST: Final = 10_000
"""Characters of a reply that are passed on."""
_ACTED_ON: Final = frozenset({Keyword.STOP, Keyword.START})
_log = get_logger(__name__)


async def pass_on(core: Services, account: Account, events: Iterable[Event]) -> None:
    """Give each reply to the endpoints that asked for `message.replied`; stored and sealed like every event.

    Its id is made of the provider's, so that a report that is repeated gives no second one. Raises Unavailable and
    MaybeStored: the provider repeats its call.
    """
    for event in events:
        if event.kind is ReceiptEventType.INBOUND and keyword(event.words or "") not in _ACTED_ON:
            try:
                await core.webhooks.take(account.tenant, _replied(account, event))
            except InvalidInput as wrong:
                _log.warning(
                    "reply_not_passed_on", tenant=account.tenant, reason=str(wrong)[:200], **account.describe()
                )


def _replied(account: Account, event: Event) -> EventInput:
    own = hashlib.sha256(f"{account.name}/{event.id}".encode("utf-8", "replace")).hexdigest()[:32]
    payload: dict[str, Any] = {
        "channel": account.channel.value,
        "account": account.name,
        "provider": account.provider,
        "from": as_reported(account.channel, _plain(event.address)) if event.address else None,
        "text": _plain(event.words)[:LONGEST] if event.words else None,
        "kind": _plain(event.word),
        "provider_message_id": _plain(event.provider_message_id) if event.provider_message_id else None,
        "at": event.at.isoformat() if event.at else None,
    }
    return EventInput(type=REPLIED, payload=payload, event_id=f"reply_{own}")


def _plain(text: str | None) -> str:
    """Text that every receiver and database takes."""
    return (text or "").replace("\x00", "").encode("utf-8", "replace").decode()
