"""Twilio's Messages resource for WhatsApp accounts: POST /twilio_whatsapp/2010-04-01/Accounts/{AC…}/Messages.json.

At Twilio it is the same address as for SMS. Here it has a mount point of its own, so that the inbox, the counts and
the faults tell the two apart; and it takes nothing but WhatsApp.
"""

from __future__ import annotations

from typing import Final

from devstack.sandbox.providers.contract import Call, Refused, Submission
from devstack.sandbox.providers.twilio import Twilio, refusal_of
from devstack.sandbox.providers.twilio_checks import TwilioError


class TwilioWhatsApp(Twilio):
    name = "twilio_whatsapp"
    title = "Twilio WhatsApp"

    def check(self, call: Call) -> Submission:
        submission = super().check(call)
        if submission.entries[0].channel != "whatsapp":
            to = submission.recipients[0]
            raise Refused(refusal_of(TwilioError(21211, f"The 'To' number {to} is not a valid WhatsApp address.")))
        return submission


PROVIDER: Final = TwilioWhatsApp()
