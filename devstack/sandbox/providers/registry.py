"""The providers that the sandbox speaks for. A new one is a file beside this one and a line here."""

from __future__ import annotations

from typing import Final

from devstack.sandbox.providers.contract import HttpProvider
from devstack.sandbox.providers.sandbox import SandboxProvider
from devstack.sandbox.providers.sendgrid import SendGrid
from devstack.sandbox.providers.twilio import Twilio

HTTP_PROVIDERS: Final[tuple[HttpProvider, ...]] = (SandboxProvider(), SendGrid(), Twilio())

SMTP: Final = "smtp"
"""The name of the mail server in the inbox, the counts and the fault API."""

PROVIDER_NAMES: Final = frozenset({provider.name for provider in HTTP_PROVIDERS} | {SMTP})
