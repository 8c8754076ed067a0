"""What payment providers tell: their calls are checked, their events kept, and the submissions they are about woken.

A tenant's account at Stripe is managed here, too, for the API and the command line alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError

from hermod.contracts.errors import HermodError, InvalidInput
from hermod.contracts.forms.payments import PaymentEventPage, StripeAccountInput, StripeAccountView
from hermod.contracts.ids import TENANT_PATTERN
from hermod.domain.payments import stripe_signatures
from hermod.domain.payments.stripe_events import EVENT_TYPES, UnreadableEvent, read_event
from hermod.storage.forms.payments import TakenPayment
from hermod.storage.forms.stripe_accounts import StripeAccount
from hermod.telemetry import PAYMENT_EVENTS, get_logger
from starter.client import Hermod
from starter.notifications.parsing import read_json
from starter.services import Services
from starter.validation_errors import field_errors

_NAME: Final = re.compile(TENANT_PATTERN)
"""What is no name never reaches the database."""
_NOBODYS: Final = ("whsec_",)
"""Is checked where there is no account, so that the answer comes as late as any other."""
_log = get_logger(__name__)


class ForgedEvent(HermodError):
    """The call is not signed by whom it says it is from."""


class RefusedEvent(HermodError):
    """The call is the provider's, and nothing that can be taken. The text is for the provider's log of calls."""


async def stripe_sender(core: Services, tenant: str) -> StripeAccount | None:
    """The tenant's account. Known before the body is read, so that nothing is held for who has none."""
    return await core.storage.stripe_accounts.find(tenant) if _NAME.fullmatch(tenant) else None


async def receive_stripe(
    core: Services, tenant: str, account: StripeAccount | None, body: bytes, signatures: Sequence[str]
) -> TakenPayment:
    """Take in a call of Stripe's. `signatures` are the values of its signature header.

    Raises ForgedEvent for what is not signed with a secret of the tenant, in the same words where there is no such
    tenant; RefusedEvent and MalformedJson for what is signed and cannot be taken; Unavailable, after which Stripe
    repeats the call. Nothing is kept then.
    """
    try:
        secrets = _NOBODYS if account is None else account.secrets
        stripe_signatures.check(body, signatures, secrets, core.clock.now())
    except stripe_signatures.WrongSignature as reason:
        _refuse("forged", tenant, str(reason))
        raise _forged() from None
    if account is None:
        raise _forged()
    try:
        event = read_event(read_json(body))
    except UnreadableEvent as reason:
        _refuse("unreadable", tenant, str(reason))
        raise RefusedEvent(str(reason)) from None
    if event.livemode != account.livemode:
        _refuse("wrong_mode", tenant, event.type)
        modes = ("live", "test") if event.livemode else ("test", "live")
        raise RefusedEvent(f"the event is of Stripe's {modes[0]} mode, and this account of its {modes[1]} mode")
    if event.account is not None and event.account not in account.connected_accounts:
        _refuse("wrong_account", tenant, event.type)
        raise RefusedEvent("the event is of a connected account that this payment account does not name")
    taken = await core.payments.take(tenant, event)
    _log.info("payment_event_taken", tenant=tenant, event_id=event.id, type=event.type, new=taken.new)
    return taken


async def put_stripe_account(hermod: Hermod, given: Any) -> StripeAccountView:
    """Create or replace the tenant's account from JSON. Raises InvalidInput, naming each wrong field."""
    try:
        asked = StripeAccountInput.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None
    core = hermod.core
    account = await core.storage.stripe_accounts.put(hermod.tenant, asked, actor=hermod.actor, now=core.clock.now())
    return _view(hermod, account)


async def stripe_account(hermod: Hermod) -> StripeAccountView:
    """Raises NotFound."""
    return _view(hermod, await hermod.core.storage.stripe_accounts.get(hermod.tenant))


async def delete_stripe_account(hermod: Hermod) -> None:
    """Stripe's calls are refused from now on. Raises NotFound."""
    core = hermod.core
    await core.storage.stripe_accounts.delete(hermod.tenant, actor=hermod.actor, now=core.clock.now())


async def payment_events(
    hermod: Hermod,
    *,
    submission: str | None = None,
    unlinked: bool = False,
    cursor: str | None = None,
    limit: int = 50,
) -> PaymentEventPage:
    """What payment providers have told, the newest first; `unlinked`: of payments that belong to no submission."""
    payments = hermod.core.storage.payments
    return await payments.events(hermod.tenant, submission=submission, unlinked=unlinked, cursor=cursor, limit=limit)


def _view(hermod: Hermod, account: StripeAccount) -> StripeAccountView:
    public = hermod.core.settings.public_url
    return StripeAccountView(
        secrets=len(account.secrets),
        livemode=account.livemode,
        connected_accounts=account.connected_accounts,
        url=f"{public}/ingress/stripe/{hermod.tenant}" if public is not None else None,
        event_types=EVENT_TYPES,
        created_at=account.created_at,
        updated_at=account.updated_at,
    )


def _refuse(result: str, tenant: str, reason: str) -> None:
    PAYMENT_EVENTS.labels(result).inc()
    _log.warning("payment_event_refused", result=result, tenant=tenant[:63], reason=reason[:200])


def _forged() -> ForgedEvent:
    return ForgedEvent("the call is not signed as this address asks for, or its signature is too old")
