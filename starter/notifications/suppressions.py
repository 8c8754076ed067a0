"""Suppressions as people make them: over the API, on the command line, and by the link in a mail."""

from __future__ import annotations

from typing import Final, NamedTuple

from pydantic import TypeAdapter, ValidationError

from hermod.contracts.errors import InvalidInput, NotFound
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.suppressions import Reason, SuppressionInput, SuppressionPage, SuppressionView
from hermod.contracts.values.addresses import EmailAddress, PhoneNumber
from hermod.domain.notifications.recipients import bare, fingerprint
from hermod.ports.notifications.unsubscribing import Subscription
from hermod.storage.recipients.suppressions import Entry
from starter.client import Hermod
from starter.services import Services
from starter.validation_errors import field_errors

RECIPIENT: Final = "recipient"
"""The source of what a recipient asked for by a link."""
_FORMS: Final[dict[Channel, TypeAdapter[str]]] = {
    Channel.EMAIL: TypeAdapter(EmailAddress),
    Channel.SMS: TypeAdapter(PhoneNumber),
    Channel.WHATSAPP: TypeAdapter(PhoneNumber),
    Channel.PUSH: TypeAdapter(str),
}


class SavedSuppression(NamedTuple):
    view: SuppressionView
    created: bool


async def suppress(hermod: Hermod, asked: SuppressionInput) -> SavedSuppression:
    """Send nothing more to the address. Gives what stands, which is an earlier suppression where that is stronger.

    Raises InvalidInput.
    """
    core, now = hermod.core, hermod.core.clock.now()
    if asked.expires_at is not None and asked.expires_at <= now:
        raise InvalidInput.of("expires_at", "must be in the future")
    form = asked.channel or _looks_like(asked.address)
    try:
        address = bare(form, _FORMS[form].validate_python(asked.address))
    except ValidationError as error:
        raise InvalidInput(field_errors(error, asked.address, whole="address")) from None
    entry = Entry(
        hash=fingerprint(form, address),
        address=address,
        channel=asked.channel,
        category=asked.category,
        reason=asked.reason,
        source=hermod.actor,
        detail=asked.detail,
        expires_at=asked.expires_at,
    )
    view, fresh = await core.storage.suppressions.add(hermod.tenant, entry, actor=hermod.actor, now=now)
    return SavedSuppression(view, fresh)


async def suppressions(
    hermod: Hermod,
    *,
    address: str | None = None,
    channel: Channel | None = None,
    reason: Reason | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> SuppressionPage:
    """Those in force, newest first."""
    hashes = None if address is None else sorted({fingerprint(form, one) for form, one in _readings(address, channel)})
    core = hermod.core
    return await core.storage.suppressions.page(
        hermod.tenant,
        hashes=hashes,
        channel=channel,
        reason=reason,
        cursor=cursor,
        limit=limit,
        now=core.clock.now(),
    )


async def allow(hermod: Hermod, suppression: str) -> None:
    """Take a suppression away, whatever its reason. Raises NotFound."""
    core = hermod.core
    await core.storage.suppressions.remove(hermod.tenant, suppression, actor=hermod.actor, now=core.clock.now())


def opened(core: Services, token: str) -> Subscription:
    """What an unsubscribe link is about. Raises NotFound for one that is not ours."""
    about = core.storage.unsubscribe_links.open(token)
    if about is None:
        raise NotFound("this link is not valid, or too old")
    return about


async def is_unsubscribed(core: Services, about: Subscription) -> bool:
    hash_ = fingerprint(about.channel, about.address)
    stands = core.storage.suppressions.stands
    return await stands(about.tenant, hash_, about.channel, about.category, core.clock.now()) is not None


async def unsubscribe(core: Services, about: Subscription) -> None:
    """By the recipient's own hand."""
    entry = Entry(
        hash=fingerprint(about.channel, about.address),
        address=about.address,
        channel=about.channel,
        category=about.category,
        reason=Reason.UNSUBSCRIBED,
        source=RECIPIENT,
    )
    await core.storage.suppressions.add(about.tenant, entry, actor=RECIPIENT, now=core.clock.now())


async def resubscribe(core: Services, about: Subscription) -> None:
    """Takes back an unsubscribe, and nothing that others have put there."""
    hash_, now = fingerprint(about.channel, about.address), core.clock.now()
    await core.storage.suppressions.take_back(
        about.tenant, hash_, about.channel, about.category, source=RECIPIENT, now=now
    )


def _looks_like(address: str) -> Channel:
    """Which kind of address it is, where no channel is named."""
    if "@" in address and "://" not in address:
        return Channel.EMAIL
    return Channel.SMS if address.startswith("+") else Channel.PUSH


def _readings(address: str, channel: Channel | None) -> list[tuple[Channel, str]]:
    """The forms in which the address may have been stored."""
    readings = []
    for form in (channel,) if channel else (Channel.EMAIL, Channel.SMS, Channel.PUSH):
        try:
            readings.append((form, bare(form, _FORMS[form].validate_python(address))))
        except ValidationError:
            readings.append((form, bare(form, address)))
    return readings
