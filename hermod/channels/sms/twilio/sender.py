"""Twilio's Messages API, for SMS and MMS. What all its channels share is in `hermod.channels.twilio_api`.

    To=+14155550100&From=+15005550006&Body=Hello&MediaUrl=https://…&MediaUrl=https://…

The sender is a number, a short code, an alphanumeric name, or the `MG…` of a Messaging Service.
"""

from __future__ import annotations

from typing import cast

from hermod.channels.twilio_api.sender import (
    BASE_URL,
    CREDENTIALS,
    OPTIONAL_CREDENTIALS,
    Form,
    TwilioMessagesSender,
    is_service,
)
from hermod.contracts.notifications.content import AnyContent, Channel, Sms
from hermod.ports.notifications.sender import Capability, Outgoing


class TwilioSender(TwilioMessagesSender):
    capability = Capability(
        provider="twilio",
        title="Twilio",
        channels=frozenset({Channel.SMS}),
        media=True,
        credentials=CREDENTIALS,
        optional_credentials=OPTIONAL_CREDENTIALS,
        base_url=BASE_URL,
    )

    def cannot_express(self, content: AnyContent) -> str | None:
        if not isinstance(content, Sms):
            return "it sends SMS only"
        if not (content.from_ or self.account.from_):
            return "neither the message nor the account names a sender (from)"
        return None

    def form(self, message: Outgoing) -> Form:
        sms, sender = cast(Sms, message.content), message.sender or ""
        form = [("To", sms.to), ("MessagingServiceSid" if is_service(sender) else "From", sender)]
        if sms.body:
            form.append(("Body", sms.body))
        return form + [("MediaUrl", url) for url in sms.media_urls]
