"""Which adapter speaks to which provider, whether an account's settings fit it, and the senders that are in use.

A provider is a folder with a `kit.py`, found here by itself; docs/adding-a-provider.md says what goes into it.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pydantic import TypeAdapter, ValidationError

from hermod import channels
from hermod.channels.kit import ProviderDefinition
from hermod.contracts.errors import FieldError, InvalidInput
from hermod.contracts.notifications.content import Channel
from hermod.contracts.tenants.accounts import Account, AccountInput
from hermod.contracts.values.addresses import EmailAddress, local_domain_fault
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Sender

MAX_KEPT: Final = 1_000
"""Senders kept at once; the one that was not used for the longest time goes first."""
LINGER: Final = 60.0
"""Seconds that a replaced sender stays usable, for the callers that still hold it."""

_EMAIL_ADDRESS: Final = TypeAdapter[str](EmailAddress)


def _found() -> dict[str, ProviderDefinition]:
    """Every `kit` module in the folders beside this file, by the name of its provider."""
    kits: dict[str, ProviderDefinition] = {}
    for module in pkgutil.walk_packages(channels.__path__, f"{channels.__name__}."):
        if module.name.count(".") > 2 and module.name.endswith(".kit"):
            kit: ProviderDefinition = importlib.import_module(module.name).KIT
            kits[kit.adapter.capability.provider] = kit
    return kits


KITS: Final = MappingProxyType(_found())
CAPABILITIES: Final = MappingProxyType({name: kit.adapter.capability for name, kit in KITS.items()})
POLLED: Final = frozenset(name for name, kit in KITS.items() if kit.polled)
"""Providers that call nobody, so that they have to be asked for their receipts."""


@dataclass(frozen=True, slots=True)
class _Settings:
    """The part of an account that its adapter is built from."""

    channel: Channel
    provider: str
    credentials: Mapping[str, str]
    base_url: str | None
    from_: str | None


def validate(
    account: AccountInput,
    *,
    stored: Mapping[str, str] | None = None,
    allow_private: bool = False,
    local_domains: Collection[str] = (),
) -> None:
    """Raise InvalidInput, field by field, for an account that could never send.

    `stored` are the credentials kept from before: they count where the input leaves the credentials out.
    `local_domains`: those not of the public internet that mail may come from.
    """
    given = account.credentials
    credentials = {name: value.get_secret_value() for name, value in given.items()} if given is not None else stored
    settings = _Settings(account.channel, account.provider, credentials or {}, account.base_url, account.from_)
    wrong = list(_faults(settings, AddressGuard(allow_private=allow_private)))
    if not any(fault.field == "from" for fault in wrong) and settings.from_ and settings.channel is Channel.EMAIL:
        fault = local_domain_fault(settings.from_, local_domains)
        wrong += [FieldError("from", fault)] if fault else []
    _raise_for(wrong)


def build(account: Account, wiring: AdapterContext) -> Sender:
    """The sender of an account. Raises InvalidInput where its settings do not fit its provider."""
    settings = _Settings(account.channel, account.provider, account.credentials, account.base_url, account.from_)
    _raise_for(list(_faults(settings, wiring.guard)))
    return KITS[account.provider].adapter(account, wiring)


class Senders:
    """The senders in use, one for each account. Implements `hermod.ports.notifications.sender.SenderFactory`."""

    def __init__(
        self, *, allow_private: bool = False, public_url: str | None = None, wiring: AdapterContext | None = None
    ) -> None:
        self._wiring = wiring or AdapterContext(guard=AddressGuard(allow_private=allow_private), public_url=public_url)
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
    kit = KITS.get(settings.provider)
    if kit is None:
        yield FieldError("provider", f"there is no provider {settings.provider}; there are {', '.join(sorted(KITS))}")
        return
    adapter = kit.adapter
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
        elif value and name not in capability.key_files and (value != value.strip() or not value.isprintable()):
            yield FieldError(f"credentials.{name}", "must not begin or end with spaces, nor contain line breaks")
