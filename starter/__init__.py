"""What application code imports from Hermod.

Each name is imported from its module when it is first asked for, so that a program which only names messages, or
checks the signature of a webhook, loads neither the database's library nor Temporal's nor the providers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hermod.contracts.errors import (
        Conflict,
        HermodError,
        IdempotencyMismatch,
        InvalidInput,
        MaybeStored,
        NotFound,
        Unavailable,
    )
    from hermod.contracts.notifications.content import Attachment, Email, Push, Sms, WhatsApp, WhatsAppTemplate
    from hermod.contracts.notifications.messages import Receipt, Submission
    from hermod.outbound.webhooks.signatures import InvalidSignature, verify_webhook
    from starter.client import BatchReceipt, Hermod, Rejected

__all__ = [
    "Attachment",
    "BatchReceipt",
    "Conflict",
    "Email",
    "Hermod",
    "HermodError",
    "IdempotencyMismatch",
    "InvalidInput",
    "InvalidSignature",
    "MaybeStored",
    "NotFound",
    "Push",
    "Receipt",
    "Rejected",
    "Sms",
    "Submission",
    "Unavailable",
    "WhatsApp",
    "WhatsAppTemplate",
    "verify_webhook",
]

_MODULES = {
    "hermod.contracts.notifications.content": ("Attachment", "Email", "Push", "Sms", "WhatsApp", "WhatsAppTemplate"),
    "hermod.contracts.errors": (
        *("Conflict", "HermodError", "IdempotencyMismatch", "InvalidInput", "MaybeStored", "NotFound", "Unavailable"),
    ),
    "hermod.contracts.notifications.messages": ("Receipt", "Submission"),
    "hermod.outbound.webhooks.signatures": ("InvalidSignature", "verify_webhook"),
    "starter.client": ("BatchReceipt", "Hermod", "Rejected"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # type checkers have the imports above, and go on to find a name that is not there

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'starter' has no attribute {name!r}")
        found = getattr(import_module(_HOMES[name]), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
