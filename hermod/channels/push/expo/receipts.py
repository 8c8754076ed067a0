"""Expo's receipts: what became of a message between Expo and Apple's or Google's service.

    POST https://exp.host/--/api/v2/push/getReceipts     {"ids": ["<ticket>", … up to 1000]}
    200 {"data": {"<ticket>": {"status": "ok"}, "<ticket>": {"status": "error", "details": {"error": "MessageTooBig"}}}}

A ticket that is missing has no receipt yet. `ok` means that Apple or Google has the message, not that it was shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from hermod.channels.http_sender import text_of
from hermod.channels.push.expo.codes import RECEIPTS
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.ports.notifications.receipts import Event

LONGEST_POLL: Final = 1000
_LONGEST_TICKET: Final = 200


def read_receipts(receipts: Mapping[str, Any], words: Callable[[str], str]) -> Iterator[Event]:
    """The receipts as events; a ticket has one receipt, so its id is the event's. `words` makes texts presentable."""
    for ticket, receipt in receipts.items():
        if not isinstance(receipt, dict) or not 0 < len(ticket) <= _LONGEST_TICKET:
            continue
        status, details, text = receipt.get("status"), receipt.get("details"), text_of(receipt.get("message"))
        code = text_of(details.get("error")) if isinstance(details, dict) else None
        kind = ReceiptEventType.UNKNOWN
        if status == "ok":
            kind = ReceiptEventType.ACCEPTED
        elif status == "error":
            kind = RECEIPTS.get(code or "", ReceiptEventType.FAILED)
        yield Event(
            id=ticket,
            kind=kind,
            word=f"{text_of(status) or '?'}/{code}"[:100] if code else (text_of(status) or "?")[:100],
            provider_message_id=ticket,
            code=code,
            text=words(text) if text else None,
        )
