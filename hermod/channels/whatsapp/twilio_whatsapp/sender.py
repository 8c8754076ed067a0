"""WhatsApp through Twilio's Messages API. What all its channels share is in `hermod.channels.twilio_api`.

    To=whatsapp:+14155550100&From=whatsapp:+14155238886&Body=Hello                     inside the window of 24 hours
    To=…&From=…&ContentSid=HX…&ContentVariables={"1":"Ann"}                            at any time

The sender is a number, with or without `whatsapp:` before it, or the `MG…` of a Messaging Service.
"""

from __future__ import annotations

from typing import Final, cast

import orjson

from hermod.channels.twilio_api.sender import (
    BASE_URL,
    CREDENTIALS,
    OPTIONAL_CREDENTIALS,
    Form,
    TwilioMessagesSender,
    is_service,
)
from hermod.channels.whatsapp.twilio_whatsapp.template import NotAtTwilio, content_sid, content_variables
from hermod.contracts.notifications.content import AnyContent, Channel, WhatsApp, WhatsAppTemplate
from hermod.ports.notifications.sender import Capability, Outgoing

MAX_BODY: Final = 1_600
_PREFIX: Final = "whatsapp:"


class TwilioWhatsAppSender(TwilioMessagesSender):
    capability = Capability(
        provider="twilio_whatsapp",
        title="Twilio WhatsApp",
        channels=frozenset({Channel.WHATSAPP}),
        templates=True,
        default_rate=5.0,
        credentials=CREDENTIALS,
        optional_credentials=OPTIONAL_CREDENTIALS,
        base_url=BASE_URL,
    )

    def cannot_express(self, content: AnyContent) -> str | None:
        if not isinstance(content, WhatsApp):
            return "it sends WhatsApp messages only"
        if not self.account.from_:
            return "the account names no sender (from)"
        if content.body is not None and len(content.body) > MAX_BODY:
            return f"Twilio takes {MAX_BODY} characters of text"
        if isinstance(content.template, WhatsAppTemplate):
            try:
                content_sid(content.template)
                content_variables(content.template)
            except NotAtTwilio as reason:
                return str(reason)
        return None

    def form(self, message: Outgoing) -> Form:
        content, sender = cast(WhatsApp, message.content), message.sender or ""
        form = [("To", _PREFIX + content.to)]
        if is_service(sender):
            form.append(("MessagingServiceSid", sender))
        else:
            form.append(("From", _PREFIX + sender.removeprefix(_PREFIX)))
        if isinstance(content.template, WhatsAppTemplate):
            form.append(("ContentSid", content_sid(content.template)))
            variables = content_variables(content.template)
            if variables:
                form.append(("ContentVariables", orjson.dumps(variables).decode()))
        else:
            form.append(("Body", content.body or ""))
        return form
