"""What Twilio tells about messages: their status, and the messages that people send to us.

    status   POST …?hermod_message_id=msg_…   MessageSid=SM…&MessageStatus=undelivered&ErrorCode=30003&To=…&From=…
    inbound  POST …                           MessageSid=SM…&SmsStatus=received&From=…&Body=STOP&OptOutType=STOP

Twilio repeats and reorders, and adds parameters without notice. Where a person opted out through Twilio's Advanced
Opt-Out, `OptOutType` says so whatever the word was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hermod.channels.redaction import one_line
from hermod.channels.twilio_api.codes import FAILURES, STATUSES
from hermod.channels.twilio_api.sender import MESSAGE_ID_PARAMETER
from hermod.channels.twilio_api.signature import parameters
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.tenants.accounts import Account
from hermod.domain.notifications.keywords import keyword
from hermod.ports.notifications.receipts import Answer, Callback, Event, ParsedReceipt, ReceiptContext, Unreadable

NO_REPLY: Final = Answer(body=b"<Response/>", content_type="text/xml")
"""Empty TwiML: to an inbound message, the answer is what is sent back."""
_SAID: Final = ("OptOutType", "ButtonPayload", "ButtonText", "Body")
"""Where a keyword may stand, the most telling place first."""


class TwilioReceipts:
    """Reads the calls of an account, whatever its channel. Implements
    `hermod.ports.notifications.receipts.ReceiptReader`.
    """

    async def read(self, call: Callback, account: Account, desk: ReceiptContext) -> ParsedReceipt:
        said = parameters(call, account.credentials.get("auth_token"))
        sid = said.get("MessageSid") or said.get("SmsSid")
        word = said.get("MessageStatus") or said.get("SmsStatus")
        if not sid or not word:
            raise Unreadable("there is no MessageSid with a status")
        if STATUSES.get(word) is ReceiptEventType.INBOUND:
            return ParsedReceipt(events=(_inbound(sid, word, said),), answer=NO_REPLY)
        message_id = call.query().get(MESSAGE_ID_PARAMETER)
        secrets = tuple(account.credentials.values())
        return ParsedReceipt(events=_status(sid, word, said, message_id, secrets))


def _status(
    sid: str, word: str, said: dict[str, str], message_id: str | None, secrets: tuple[str, ...]
) -> tuple[Event, ...]:
    """What happened to the message; and beside it, where it failed because the person opted out, just that."""
    code = said.get("ErrorCode") or None
    text = said.get("ErrorMessage")
    event = Event(
        id=":".join(part[:60] for part in (sid, word, code) if part),
        kind=STATUSES.get(word, ReceiptEventType.UNKNOWN),
        word=word,
        message_id=message_id,
        provider_message_id=sid,
        address=_bare(said.get("To")),
        code=code,
        text=one_line(text, secrets) if text else None,
    )
    failure = FAILURES.get(code or "") if event.kind is ReceiptEventType.FAILED else None
    if failure is ReceiptEventType.UNSUBSCRIBED:
        return event, replace(event, id=f"{event.id}:{failure}", kind=failure)
    return (replace(event, kind=failure) if failure else event,)


def _inbound(sid: str, word: str, said: dict[str, str]) -> Event:
    words = [said[name] for name in _SAID if said.get(name)]
    telling = next((one for one in words if keyword(one)), said.get("Body"))
    return Event(
        id=sid[:200],
        kind=ReceiptEventType.INBOUND,
        word=word,
        provider_message_id=sid,
        address=_bare(said.get("From")),
        words=telling or None,
    )


def _bare(address: str | None) -> str | None:
    """The number alone: other channels than SMS put their name before it."""
    return address.removeprefix("whatsapp:") or None if address else None
