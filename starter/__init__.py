"""What application code imports from Hermod."""

from __future__ import annotations

from hermod.contracts.content import Attachment, Email, Push, Sms, WhatsApp, WhatsAppTemplate
from hermod.contracts.errors import (
    Conflict,
    HermodError,
    IdempotencyMismatch,
    InvalidInput,
    MaybeStored,
    NotFound,
    Unavailable,
)
from hermod.contracts.messages import Receipt, Submission
from hermod.outbound.webhook_signatures import InvalidSignature, verify_webhook
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
