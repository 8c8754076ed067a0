"""Which adapter speaks to which provider, whether an account's settings fit it, and the senders that are in use.

A new provider is a line in `ADAPTERS`; docs/adding-a-provider.md says what else it takes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from pydantic import TypeAdapter, ValidationError

from hermod.channels.email.sendgrid import SendGridSender
from hermod.channels.email.smtp import SmtpSender
from hermod.channels.sandbox import SandboxSender
from hermod.channels.sms.twilio import TwilioSender
from hermod.contracts.accounts import Account, AccountInput, Provider
from hermod.contracts.addresses import EmailAddress
from hermod.contracts.content import Channel
from hermod.contracts.errors import FieldError, InvalidInput
from hermod.outbound.guard import AddressGuard
from hermod.outbound.wiring import Wiring
from hermod.ports.sender import Capability, Sender

MAX_KEPT: Final = 1_000
"""Senders kept at once; the one that was not used for the longest time goes first."""
LINGER: Final = 60.0
"""Seconds that a replaced sender stays usable, for the callers that still hold it."""

_EMAIL_ADDRESS: Final = TypeAdapter[str](EmailAddress)


class Adapter(Protocol):
    """What the registry needs of an adapter's class."""

    @property
    def capability(self) -> Capability: ...

    def __call__(self, account: Account, wiring: Wiring) -> Sender: ...

    def check(self, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterable[FieldError]:
        """Faults of the values, and of the address that they lead to. Missing and unknown names are found here."""
        ...


ADAPTERS: Final[dict[Provider, Adapter]] = {
    Provider.SMTP: SmtpSender,
    Provider.SENDGRID: SendGridSender,
    Provider.TWILIO: TwilioSender,
    Provider.SANDBOX: SandboxSender,
}
CAPABILITIES: Final[dict[Provider, Capability]] = {
    provider: adapter.capability for provider, adapter in ADAPTERS.items()
}


@dataclass(frozen=True, slots=True)
class _Settings:
    """The part of an account that its adapter is built from."""

    channel: Channel
    provider: Provider
    credentials: Mapping[str, str]
    base_url: str | None
    from_: str | None


def validate(account: AccountInput, *, stored: Mapping[str, str] | None = None, allow_private: bool = False) -> None:
    """Raise InvalidInput, field by field, for an account that could never send.

    `stored` are the credentials kept from before: they count where the input leaves the credentials out.
    """
    given = account.credentials
    credentials = {name: value.get_secret_value() for name, value in given.items()} if given is not None else stored
    settings = _Settings(account.channel, account.provider, credentials or {}, account.base_url, account.from_)
    _raise_for(list(_faults(settings, AddressGuard(allow_private=allow_private))))


def build(account: Account, wiring: Wiring) -> Sender:
    """The sender of an account. Raises InvalidInput where its settings do not fit its provider."""
    settings = _Settings(account.channel, account.provider, account.credentials, account.base_url, account.from_)
    _raise_for(list(_faults(settings, wiring.guard)))
    return ADAPTERS[account.provider](account, wiring)


class Senders:
    """The senders in use, one for each account. Implements `hermod.ports.sender.SenderFactory`."""

    def __init__(self, *, allow_private: bool = False, wiring: Wiring | None = None) -> None:
        self._wiring = wiring or Wiring(guard=AddressGuard(allow_private=allow_private))
        self._kept: OrderedDict[tuple[str, str], tuple[int, Sender | InvalidInput]] = OrderedDict()
        self._retired: dict[asyncio.Task[None], Sender] = {}

    def sender(self, account: Account) -> Sender:
        key = (account.tenant, account.name)
        kept = self._kept.get(key)
        if kept is None or kept[0] != account.revision:
            kept = (account.revision, self._built(account))
            self._replace(key, kept)
        self._kept.move_to_end(key)
        if isinstance(kept[1], InvalidInput):
            raise InvalidInput(kept[1].errors)
        return kept[1]

    async def aclose(self) -> None:
        """Close all senders, the lingering ones too. Requests under way are waited for."""
        senders = [sender for _, sender in self._kept.values() if not isinstance(sender, InvalidInput)]
        for task, sender in self._retired.items():
            task.cancel()
            senders.append(sender)
        self._kept.clear()
        self._retired.clear()
        await asyncio.gather(*(sender.aclose() for sender in senders))

    def _built(self, account: Account) -> Sender | InvalidInput:
        """Wrong settings are remembered like a sender: a batch asks about the same account again and again."""
        try:
            return build(account, self._wiring)
        except InvalidInput as wrong:
            return wrong

    def _replace(self, key: tuple[str, str], new: tuple[int, Sender | InvalidInput]) -> None:
        old = self._kept.pop(key, None)
        self._kept[key] = new
        if old is None and len(self._kept) > MAX_KEPT:
            _, old = self._kept.popitem(last=False)
        if old is not None and not isinstance(old[1], InvalidInput):
            task = asyncio.get_running_loop().create_task(_close_later(old[1]))
            self._retired[task] = old[1]
            task.add_done_callback(lambda done: self._retired.pop(done, None))


async def _close_later(sender: Sender) -> None:
    await asyncio.sleep(LINGER)
    await sender.aclose()


def _raise_for(faults: list[FieldError]) -> None:
    if faults:
        raise InvalidInput(faults)


def _faults(settings: _Settings, guard: AddressGuard) -> Iterator[FieldError]:
    adapter = ADAPTERS[settings.provider]
    capability = adapter.capability
    if settings.channel not in capability.channels:
        sends = ", ".join(sorted(capability.channels))
        yield FieldError("channel", f"{settings.provider} does not send {settings.channel}; it sends {sends}")
    yield from _named_credentials(settings.credentials, capability)
    yield from adapter.check(settings.credentials, settings.base_url, guard)
    if settings.from_ is not None and settings.channel is Channel.EMAIL:
        try:
            _EMAIL_ADDRESS.validate_python(settings.from_)
        except ValidationError:
            yield FieldError("from", "must be an email address, like news@example.com or News <news@example.com>")


def _named_credentials(credentials: Mapping[str, str], capability: Capability) -> Iterator[FieldError]:
    for name in capability.credentials:
        if not credentials.get(name) and (name in credentials or name not in capability.optional_credentials):
            yield FieldError(f"credentials.{name}", "missing" if name not in credentials else "must not be empty")
    for name, value in credentials.items():
        if name not in capability.credentials:
            known = ", ".join(capability.credentials)
            yield FieldError(f"credentials.{name}", f"{capability.provider} has no such credential; it takes {known}")
        elif value and (value != value.strip() or not value.isprintable()):
            yield FieldError(f"credentials.{name}", "must not begin or end with spaces, nor contain line breaks")
